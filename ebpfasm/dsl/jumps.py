"""Jumps and calls: RFC 9669 section 4.3."""

from __future__ import annotations

from ebpfasm.dsl.operands import Operand, Register, Target
from ebpfasm.dsl.stream import Stream
from ebpfasm.ir import KfuncRef


class Jumps(Stream):
    """Methods that move control. A target is a label, or a distance in slots."""

    __slots__ = ()

    # 4.3 Unconditional jumps and calls

    def ja(self, target: Target) -> None:
        """Jump, up to 32767 slots."""
        self._jump("ja", "off", target)

    def gotol(self, target: Target) -> None:
        """Jump, with a distance of 32 bits."""
        self._jump("gotol", "imm", target)

    def call(self, helper: str | int) -> None:
        """Call a helper function by name or number: arguments in R1 to R5, result in R0.

        A number may be one that this ebpfasm does not know. Functions of the builder are
        called by `call_local`, so that a helper that a later kernel brings never takes a name.
        """
        self._put("call_helper", imm=self._helper(helper))

    def call_local(self, function: str | int) -> None:
        """Call a function of this builder by name, or what lies at a distance in slots."""
        self._function("call_local", function)

    def call_kfunc(self, function: str | int, off: int = 0, *, weak: bool = False) -> None:
        """Call a kernel function by name, or by BTF id; off is the module's place in fd_array.

        A `weak` one may be missing from the running kernel.
        """
        ref = KfuncRef(function, weak) if isinstance(function, str) else None
        self._put("call_kfunc", imm=0 if ref else function, off=self._bits("off", off, 15), ref=ref)

    def exit(self) -> None:
        """Return R0 to the caller."""
        self._put("exit")

    # 4.3 Conditional jumps, 64 bits

    def jeq(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst == operand."""
        self._put_operand("jeq64", dst, operand, target)

    def jgt(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst > operand, unsigned."""
        self._put_operand("jgt64", dst, operand, target)

    def jge(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst >= operand, unsigned."""
        self._put_operand("jge64", dst, operand, target)

    def jset(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst & operand is not 0."""
        self._put_operand("jset64", dst, operand, target)

    def jne(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst != operand."""
        self._put_operand("jne64", dst, operand, target)

    def jsgt(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst > operand, signed."""
        self._put_operand("jsgt64", dst, operand, target)

    def jsge(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst >= operand, signed."""
        self._put_operand("jsge64", dst, operand, target)

    def jlt(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst < operand, unsigned."""
        self._put_operand("jlt64", dst, operand, target)

    def jle(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst <= operand, unsigned."""
        self._put_operand("jle64", dst, operand, target)

    def jslt(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst < operand, signed."""
        self._put_operand("jslt64", dst, operand, target)

    def jsle(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst <= operand, signed."""
        self._put_operand("jsle64", dst, operand, target)

    # 4.3 Conditional jumps on the lower 32 bits

    def jeq32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst == operand."""
        self._put_operand("jeq32", dst, operand, target)

    def jgt32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst > operand, unsigned."""
        self._put_operand("jgt32", dst, operand, target)

    def jge32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst >= operand, unsigned."""
        self._put_operand("jge32", dst, operand, target)

    def jset32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst & operand is not 0."""
        self._put_operand("jset32", dst, operand, target)

    def jne32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst != operand."""
        self._put_operand("jne32", dst, operand, target)

    def jsgt32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst > operand, signed."""
        self._put_operand("jsgt32", dst, operand, target)

    def jsge32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst >= operand, signed."""
        self._put_operand("jsge32", dst, operand, target)

    def jlt32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst < operand, unsigned."""
        self._put_operand("jlt32", dst, operand, target)

    def jle32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst <= operand, unsigned."""
        self._put_operand("jle32", dst, operand, target)

    def jslt32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst < operand, signed."""
        self._put_operand("jslt32", dst, operand, target)

    def jsle32(self, dst: Register, operand: Operand, target: Target) -> None:
        """Jump if dst <= operand, signed."""
        self._put_operand("jsle32", dst, operand, target)

    # Linux

    def may_goto(self, target: Target) -> None:
        """Jump when the kernel's loop budget is spent."""
        self._jump("may_goto", "off", target)

    def callx(self, dst: Register) -> None:
        """Call the function whose address dst holds."""
        self._put("callx", dst=dst)

    def gotox(self, dst: Register) -> None:
        """Jump to the address that dst holds."""
        self._put("gotox", dst=dst)
