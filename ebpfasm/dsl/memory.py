"""Loads, stores and 64-bit immediates: RFC 9669 sections 5.1, 5.2, 5.4 and 5.5."""

from __future__ import annotations

from ebpfasm.dsl.operands import Offset, Register
from ebpfasm.dsl.stream import Stream
from ebpfasm.ir import KsymRef, MapRef, MapSpec, VarRef


class Memory(Stream):
    """Methods that move data. An offset is in bytes, or the path of a context's field."""

    __slots__ = ()

    # 5.1 Loads and stores

    def ldxb(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 8 bits from base + off, zero-extended."""
        self._put("ldxb", dst=dst, src=base, off=off)

    def ldxh(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 16 bits from base + off, zero-extended."""
        self._put("ldxh", dst=dst, src=base, off=off)

    def ldxw(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 32 bits from base + off, zero-extended."""
        self._put("ldxw", dst=dst, src=base, off=off)

    def ldxdw(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 64 bits from base + off."""
        self._put("ldxdw", dst=dst, src=base, off=off)

    def stb(self, base: Register, off: Offset, imm: int) -> None:
        """Store an immediate of 8 bits at base + off."""
        self._put("stb", dst=base, off=off, imm=imm)

    def sth(self, base: Register, off: Offset, imm: int) -> None:
        """Store an immediate of 16 bits at base + off."""
        self._put("sth", dst=base, off=off, imm=imm)

    def stw(self, base: Register, off: Offset, imm: int) -> None:
        """Store an immediate of 32 bits at base + off."""
        self._put("stw", dst=base, off=off, imm=imm)

    def stdw(self, base: Register, off: Offset, imm: int) -> None:
        """Store an immediate, sign-extended to 64 bits, at base + off."""
        self._put("stdw", dst=base, off=off, imm=imm)

    def stxb(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 8 bits of src at base + off."""
        self._put("stxb", dst=base, off=off, src=src)

    def stxh(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 16 bits of src at base + off."""
        self._put("stxh", dst=base, off=off, src=src)

    def stxw(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 32 bits of src at base + off."""
        self._put("stxw", dst=base, off=off, src=src)

    def stxdw(self, base: Register, off: Offset, src: Register) -> None:
        """Store src at base + off."""
        self._put("stxdw", dst=base, off=off, src=src)

    # 5.2 Sign-extension loads

    def ldxsb(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 8 bits from base + off, sign-extended."""
        self._put("ldxsb", dst=dst, src=base, off=off)

    def ldxsh(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 16 bits from base + off, sign-extended."""
        self._put("ldxsh", dst=dst, src=base, off=off)

    def ldxsw(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 32 bits from base + off, sign-extended."""
        self._put("ldxsw", dst=dst, src=base, off=off)

    # 5.4 64-bit immediates

    def lddw(self, dst: Register, imm: int) -> None:
        """Load a number of 64 bits, signed or unsigned."""
        self._put("lddw", dst=dst, imm=imm)

    def lddw_map(self, dst: Register, map: MapSpec | str) -> None:
        """Load a map of this builder, as helpers take it."""
        name = self._map_name(map)
        self._put("lddw_map_fd", dst=dst, ref=None if name is None else MapRef(name))

    def lddw_map_value(self, dst: Register, map: MapSpec | str, off: int = 0) -> None:
        """Load the address of byte off in the value of a map of one entry."""
        name, offset = self._map_name(map), self._bits("off", off, 32)
        ref = None if name is None else VarRef(name, "", offset)
        self._put("lddw_map_value", dst=dst, ref=ref)

    def lddw_btf_id(self, dst: Register, symbol: str | int, *, weak: bool = False) -> None:
        """Load the address of a kernel variable by name, or by BTF id.

        A `weak` one may be missing from the running kernel; its address is 0 then.
        """
        ref = KsymRef(symbol, weak=weak) if isinstance(symbol, str) else None
        self._put("lddw_btf_id", dst=dst, imm=0 if ref else symbol, ref=ref)

    def lddw_func(self, dst: Register, function: str | int) -> None:
        """Load the address of a function of this builder, as callbacks need it."""
        self._function("lddw_func", function, dst)

    def lddw_map_idx(self, dst: Register, index: int) -> None:
        """Load the map at an index of the loader's fd_array."""
        self._put("lddw_map_idx", dst=dst, imm=self._bits("index", index, 31))

    def lddw_map_idx_value(self, dst: Register, index: int, off: int = 0) -> None:
        """Load the address of byte off in the value of the map at an index of fd_array."""
        low, high = self._bits("index", index, 31), self._bits("off", off, 32)
        self._put("lddw_map_idx_value", dst=dst, imm=high << 32 | low)

    # 5.5 Legacy packet access: R6 holds the context, R0 gets the value in host order

    def ldabsb(self, imm: int) -> None:
        """Load 8 bits of the packet at imm; leaves the program if they are outside."""
        self._put("ldabsb", imm=imm)

    def ldabsh(self, imm: int) -> None:
        """Load 16 bits of the packet at imm; leaves the program if they are outside."""
        self._put("ldabsh", imm=imm)

    def ldabsw(self, imm: int) -> None:
        """Load 32 bits of the packet at imm; leaves the program if they are outside."""
        self._put("ldabsw", imm=imm)

    def ldindb(self, base: Register, imm: int) -> None:
        """Load 8 bits of the packet at base + imm; leaves the program if they are outside."""
        self._put("ldindb", src=base, imm=imm)

    def ldindh(self, base: Register, imm: int) -> None:
        """Load 16 bits of the packet at base + imm; leaves the program if they are outside."""
        self._put("ldindh", src=base, imm=imm)

    def ldindw(self, base: Register, imm: int) -> None:
        """Load 32 bits of the packet at base + imm; leaves the program if they are outside."""
        self._put("ldindw", src=base, imm=imm)
