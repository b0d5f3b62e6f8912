"""Arithmetic, byte swaps and moves: RFC 9669 sections 4.1 and 4.2."""

from __future__ import annotations

from ebpfasm.dsl.operands import Operand, Register
from ebpfasm.dsl.stream import Stream


class Arithmetic(Stream):
    """Methods that compute in registers."""

    __slots__ = ()

    # 4.1 Arithmetic, 64 bits

    def add(self, dst: Register, operand: Operand) -> None:
        """Add: dst += operand."""
        self._put_operand("add64", dst, operand)

    def sub(self, dst: Register, operand: Operand) -> None:
        """Subtract: dst -= operand."""
        self._put_operand("sub64", dst, operand)

    def mul(self, dst: Register, operand: Operand) -> None:
        """Multiply: dst *= operand."""
        self._put_operand("mul64", dst, operand)

    def div(self, dst: Register, operand: Operand) -> None:
        """Divide unsigned; by zero gives 0."""
        self._put_operand("div64", dst, operand)

    def sdiv(self, dst: Register, operand: Operand) -> None:
        """Divide signed, towards zero; by zero gives 0."""
        self._put_operand("sdiv64", dst, operand)

    def or_(self, dst: Register, operand: Operand) -> None:
        """Or: dst |= operand."""
        self._put_operand("or64", dst, operand)

    def and_(self, dst: Register, operand: Operand) -> None:
        """And: dst &= operand."""
        self._put_operand("and64", dst, operand)

    def lsh(self, dst: Register, operand: Operand) -> None:
        """Shift left; the count is taken modulo 64."""
        self._put_operand("lsh64", dst, operand)

    def rsh(self, dst: Register, operand: Operand) -> None:
        """Shift right and fill with zeros; the count is taken modulo 64."""
        self._put_operand("rsh64", dst, operand)

    def mod(self, dst: Register, operand: Operand) -> None:
        """Remainder of unsigned division; by zero leaves dst."""
        self._put_operand("mod64", dst, operand)

    def smod(self, dst: Register, operand: Operand) -> None:
        """Remainder of signed division, with the sign of dst; by zero leaves dst."""
        self._put_operand("smod64", dst, operand)

    def xor(self, dst: Register, operand: Operand) -> None:
        """Exclusive or: dst ^= operand."""
        self._put_operand("xor64", dst, operand)

    def mov(self, dst: Register, operand: Operand) -> None:
        """Copy: dst = operand, an immediate sign-extended; `lddw` loads 64 bits."""
        self._put_operand("mov64", dst, operand)

    def arsh(self, dst: Register, operand: Operand) -> None:
        """Shift right and fill with the sign; the count is taken modulo 64."""
        self._put_operand("arsh64", dst, operand)

    def neg(self, dst: Register) -> None:
        """Negate: dst = -dst."""
        self._put("neg64", dst=dst)

    def movsx8(self, dst: Register, src: Register) -> None:
        """Copy the low 8 bits of src, sign-extended."""
        self._put("movsx8_64", dst=dst, src=src)

    def movsx16(self, dst: Register, src: Register) -> None:
        """Copy the low 16 bits of src, sign-extended."""
        self._put("movsx16_64", dst=dst, src=src)

    def movsx32(self, dst: Register, src: Register) -> None:
        """Copy the low 32 bits of src, sign-extended."""
        self._put("movsx32_64", dst=dst, src=src)

    # 4.1 Arithmetic, 32 bits: the upper half of dst becomes 0

    def add32(self, dst: Register, operand: Operand) -> None:
        """Add: dst += operand."""
        self._put_operand("add32", dst, operand)

    def sub32(self, dst: Register, operand: Operand) -> None:
        """Subtract: dst -= operand."""
        self._put_operand("sub32", dst, operand)

    def mul32(self, dst: Register, operand: Operand) -> None:
        """Multiply: dst *= operand."""
        self._put_operand("mul32", dst, operand)

    def div32(self, dst: Register, operand: Operand) -> None:
        """Divide unsigned; by zero gives 0."""
        self._put_operand("div32", dst, operand)

    def sdiv32(self, dst: Register, operand: Operand) -> None:
        """Divide signed, towards zero; by zero gives 0."""
        self._put_operand("sdiv32", dst, operand)

    def or32(self, dst: Register, operand: Operand) -> None:
        """Or: dst |= operand."""
        self._put_operand("or32", dst, operand)

    def and32(self, dst: Register, operand: Operand) -> None:
        """And: dst &= operand."""
        self._put_operand("and32", dst, operand)

    def lsh32(self, dst: Register, operand: Operand) -> None:
        """Shift left; the count is taken modulo 32."""
        self._put_operand("lsh32", dst, operand)

    def rsh32(self, dst: Register, operand: Operand) -> None:
        """Shift right and fill with zeros; the count is taken modulo 32."""
        self._put_operand("rsh32", dst, operand)

    def mod32(self, dst: Register, operand: Operand) -> None:
        """Remainder of unsigned division; by zero leaves dst."""
        self._put_operand("mod32", dst, operand)

    def smod32(self, dst: Register, operand: Operand) -> None:
        """Remainder of signed division, with the sign of dst; by zero leaves dst."""
        self._put_operand("smod32", dst, operand)

    def xor32(self, dst: Register, operand: Operand) -> None:
        """Exclusive or: dst ^= operand."""
        self._put_operand("xor32", dst, operand)

    def mov32(self, dst: Register, operand: Operand) -> None:
        """Copy: dst = operand."""
        self._put_operand("mov32", dst, operand)

    def arsh32(self, dst: Register, operand: Operand) -> None:
        """Shift right and fill with the sign; the count is taken modulo 32."""
        self._put_operand("arsh32", dst, operand)

    def neg32(self, dst: Register) -> None:
        """Negate: dst = -dst."""
        self._put("neg32", dst=dst)

    def movsx8_32(self, dst: Register, src: Register) -> None:
        """Copy the low 8 bits of src, sign-extended to 32."""
        self._put("movsx8_32", dst=dst, src=src)

    def movsx16_32(self, dst: Register, src: Register) -> None:
        """Copy the low 16 bits of src, sign-extended to 32."""
        self._put("movsx16_32", dst=dst, src=src)

    # 4.2 Byte swaps

    def le16(self, dst: Register) -> None:
        """Make little-endian of the host's order: the low 2 bytes; what is above becomes 0."""
        self._put("le16", dst=dst)

    def le32(self, dst: Register) -> None:
        """Make little-endian of the host's order: the low 4 bytes; what is above becomes 0."""
        self._put("le32", dst=dst)

    def le64(self, dst: Register) -> None:
        """Make little-endian of the host's order: all 8 bytes."""
        self._put("le64", dst=dst)

    def be16(self, dst: Register) -> None:
        """Make big-endian of the host's order: the low 2 bytes; what is above becomes 0."""
        self._put("be16", dst=dst)

    def be32(self, dst: Register) -> None:
        """Make big-endian of the host's order: the low 4 bytes; what is above becomes 0."""
        self._put("be32", dst=dst)

    def be64(self, dst: Register) -> None:
        """Make big-endian of the host's order: all 8 bytes."""
        self._put("be64", dst=dst)

    def bswap16(self, dst: Register) -> None:
        """Reverse the low 2 bytes; what is above becomes 0."""
        self._put("bswap16", dst=dst)

    def bswap32(self, dst: Register) -> None:
        """Reverse the low 4 bytes; what is above becomes 0."""
        self._put("bswap32", dst=dst)

    def bswap64(self, dst: Register) -> None:
        """Reverse all 8 bytes."""
        self._put("bswap64", dst=dst)

    # Linux

    def addr_space_cast(self, dst: Register, src: Register, dst_as: int, src_as: int) -> None:
        """Make src a pointer of address space dst_as, taken from space src_as (arenas)."""
        to, of = self._bits("dst_as", dst_as, 16), self._bits("src_as", src_as, 16)
        self._put("addr_space_cast", dst=dst, src=src, imm=to << 16 | of)
