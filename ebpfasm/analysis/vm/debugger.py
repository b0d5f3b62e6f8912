"""A debugger's engine: stop at lines, step, and look at registers, stack and backtrace.

The program runs in a thread of its own, one of the two at a time, so that stopping works inside
callbacks too.
"""

from __future__ import annotations

import threading

from ebpfasm.analysis.vm.context import Context
from ebpfasm.analysis.vm.faults import Place
from ebpfasm.analysis.vm.machine import FRAME
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.reference import Interpreter
from ebpfasm.analysis.vm.virtual import VirtualMachine
from ebpfasm.closing import Closing
from ebpfasm.errors import EbpfError, VmError, error


class _Closed(BaseException):
    """Unwinds a program that nobody wants to go on."""


class Debugger(Closing):
    """One run of a machine's program, stopped before its first instruction.

    Use it as a context manager. Raises VmError where a breakpoint's line has no instruction, and
    from whatever goes on what the program is stopped for.
    """

    def __init__(
        self,
        machine: VirtualMachine,
        data: bytes = b"",
        ctx: Context | None = None,
    ) -> None:
        self._vm = machine
        self._engine = Interpreter(machine.machine, self._observe)
        self._breakpoints: set[tuple[str, int]] = set()
        self._depth: int | None = None  # stop where no more frames than this are open
        self._every = True
        self._line: tuple[str, int] | None = None  # the line that a step began on
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._closing = False
        self._wrong: BaseException | None = None
        self.r0: int | None = None
        arguments = machine.machine.begin(data, ctx)
        self._thread = threading.Thread(target=self._run, args=(arguments,), daemon=True)
        self._thread.start()
        self._stopped.acquire()

    # ---- the program's side

    def _run(self, arguments: tuple[int, ...]) -> None:
        try:
            self.r0 = self._engine.run(*arguments)
        except _Closed:
            pass
        except BaseException as problem:
            self._wrong = problem
        finally:
            self._stopped.release()

    def _observe(self, engine: Interpreter, at: int) -> None:
        if self._closing:
            raise _Closed
        if self._should_stop(at):
            self._stopped.release()
            self._go.acquire()
            if self._closing:
                raise _Closed

    def _should_stop(self, at: int) -> bool:
        here = self._line_of(at)
        if here is not None and here in self._breakpoints and here != self._line:
            return True
        if here != self._line:
            self._line = None
        if self._depth is not None:
            return len(self._engine.frames) <= self._depth and (self._every or self._line is None)
        return self._every

    def _line_of(self, at: int) -> tuple[str, int] | None:
        span = self._vm.machine.code.steps[at].instruction.span
        return (span.name, span.line) if span is not None else None

    # ---- breakpoints

    def break_at(self, line: int, file: str | None = None) -> None:
        """Stop before the first instruction of a line, in any file of that name or in all.

        A file's name may be the end of its path, as in `break_at(5, "count.c")`. Raises VmError
        where no instruction comes from such a line.
        """
        found = {each for step in range(len(self._vm.machine.code.steps))
                 if (each := self._line_of(step)) is not None}  # fmt: skip
        here = {each for each in found if file is None or f"/{each[0]}".endswith(f"/{file}")}
        wanted = {each for each in here if each[1] == line}
        if not here:
            message = f"no instruction comes from {file}"
            names = ", ".join(sorted({name for name, _ in found})) or "none is known"
            raise VmError(error("vm-input", message, hint=f"files of the program: {names}"))
        if not wanted:
            lines = ", ".join(map(str, sorted({number for _, number in here})))
            message = f"no instruction stands on line {line}"
            raise VmError(error("vm-input", message, hint=f"lines with instructions: {lines}"))
        self._breakpoints |= wanted

    def clear(self) -> None:
        """Forget every breakpoint."""
        self._breakpoints.clear()

    # ---- going on

    @property
    def finished(self) -> bool:
        """Whether the program has returned, or was stopped for a fault."""
        return self.r0 is not None or self._wrong is not None

    def step(self) -> None:
        """Run one instruction, into calls."""
        self._resume(every=True, depth=None)

    def step_over(self) -> None:
        """Run one instruction; a call's whole function."""
        self._resume(every=True, depth=len(self._engine.frames))

    def step_line(self) -> None:
        """Run until another line of this function, or of a caller, is reached."""
        self._resume(every=False, depth=len(self._engine.frames))

    def step_out(self) -> None:
        """Run until this function has returned."""
        self._resume(every=True, depth=len(self._engine.frames) - 1)

    def go(self) -> None:
        """Run to the next breakpoint, or to the end."""
        self._resume(every=False, depth=None)

    def _resume(self, *, every: bool, depth: int | None) -> None:
        if self.finished:
            raise VmError(error("vm-input", "the program has ended"))
        # Of the line that it stands on, no later instruction is a breakpoint.
        self._line = self._line_of(self._engine.at)
        self._every, self._depth = every, depth
        self._go.release()
        self._stopped.acquire()
        if self._wrong is not None:
            wrong = self._wrong
            if isinstance(wrong, EbpfError):
                raise wrong
            raise RuntimeError("the machine failed") from wrong

    # ---- looking

    @property
    def place(self) -> Place:
        """The instruction that is run next."""
        return self._vm.machine.code.place(self._engine.at)

    @property
    def backtrace(self) -> tuple[Place, ...]:
        """Where the program is, and the calls that it came through, innermost first."""
        return self._engine.trail()

    @property
    def registers(self) -> dict[str, int]:
        """The registers that hold something, by name."""
        engine = self._engine
        return {
            f"r{number}": value
            for number, value in enumerate(engine.registers)
            if engine.known >> number & 1
        }

    def describe(self, value: int) -> str:
        """A number as what it points to, such as "packet + 14"."""
        return describe(self._engine.memory, value)

    @property
    def stack(self) -> bytes:
        """The running function's frame: its last byte is just below r10."""
        frames = self._engine.frames
        return bytes(self._vm.machine.frames[len(frames) - 1].host) if frames else bytes(FRAME)

    def read(self, address: int, length: int) -> bytes:
        """Memory that the program can reach. Raises VmError."""
        from ebpfasm.analysis.vm.faults import Fault, stopped

        try:
            return self._engine.memory.read(address, length)
        except Fault as fault:
            raise stopped(fault, ()) from None

    # ---- the end

    def close(self) -> None:
        """Leave the program where it is."""
        self._closing = True
        self._go.release()
        self._thread.join()
        self._vm.machine.engine = self._vm.engine
