"""A run written down: a step for each instruction, with what it changed and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm.memory import describe
from ebpfasm.isa.forms import Form

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.reference import Interpreter

_STORES = frozenset({
    Form.STORE_REG, Form.STORE_IMM, Form.STORE_RELEASE, Form.ATOMIC, Form.FETCH, Form.XCHG,
    Form.XCHG32, Form.CMPXCHG, Form.CMPXCHG32,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One instruction as it was run.

    `depth` is 0 in the program itself and counts the calls; `file` and `line` are empty and 0
    where the source is not known. `registers` are the new values by name; `memory` says where a
    store went and `stored` what is there now, empty for other instructions.
    """

    function: str
    index: int
    depth: int
    text: str
    file: str
    line: int
    source: str
    registers: dict[str, int]
    shown: dict[str, str]
    memory: str
    stored: bytes

    def __str__(self) -> str:
        place = f"{self.function}+{self.index}"
        changed = [f"{name} = {self.shown[name]}" for name in self.registers]
        if self.memory:
            changed.append(f"[{self.memory}] = {self.stored.hex(' ')}")
        line = f"{self.file}:{self.line}" if self.line else ""
        body = f"{'  ' * self.depth}{self.text}"
        return f"{place:<20} {body:<44} {'; '.join(changed):<40} {line}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON. Registers are numbers, `shown` has them in words."""
        found: dict[str, Any] = {
            "function": self.function,
            "index": self.index,
            "depth": self.depth,
            "text": self.text,
            "registers": self.registers,
            "shown": self.shown,
        }
        if self.line:
            found |= {"file": self.file, "line": self.line, "source": self.source}
        if self.memory:
            found |= {"memory": self.memory, "stored": self.stored.hex()}
        return found


@dataclass(slots=True)
class Tracer:
    """An observer that writes steps down; `finish` adds the last one."""

    steps: list[TraceStep] = field(default_factory=list)
    _at: int = -1
    _depth: int = 0
    _before: list[int] = field(default_factory=list)
    _known: int = 0
    _target: tuple[int, int] | None = None

    def __call__(self, engine: Interpreter, at: int) -> None:
        """An instruction is about to be run."""
        self._write(engine)
        self._at, self._depth = at, len(engine.frames) - 1
        self._before, self._known = list(engine.registers), engine.known
        each = engine.machine.code.steps[at].instruction
        self._target = None
        if each.spec.form in _STORES:
            address = engine.registers[each.dst] + each.off & (1 << 64) - 1
            self._target = address, each.spec.width // 8

    def finish(self, engine: Interpreter) -> None:
        """The run is over."""
        self._write(engine)
        self._at = -1

    def _write(self, engine: Interpreter) -> None:
        if self._at < 0:
            return
        memory = engine.memory
        registers = {
            f"r{number}": value
            for number, value in enumerate(engine.registers)
            if engine.known >> number & 1
            and (value != self._before[number] or not self._known >> number & 1)
        }
        where, stored = "", b""
        if self._target is not None:
            where = describe(memory, self._target[0])
            region = memory.find(self._target[0])
            place = region.place(*self._target) if region is not None else None
            if region is not None and place is not None:
                stored = bytes(region.host[place : place + self._target[1]])
        here = engine.machine.code.place(self._at)
        span = here.span
        self.steps.append(
            TraceStep(
                here.function,
                here.index,
                self._depth,
                here.text,
                span.name if span is not None else "",
                span.line if span is not None else 0,
                span.line_text.strip() if span is not None else "",
                registers,
                {name: _shown(engine, value) for name, value in registers.items()},
                where,
                stored,
            )
        )


def _shown(engine: Interpreter, value: int) -> str:
    region = engine.memory.find(value)
    if region is not None and region.kind != "free":
        return describe(engine.memory, value)
    return str(value) if value < 1 << 16 else hex(value)
