"""Whether a program can read a register that was never written: a must-analysis of the code.

Where it cannot, the native engine need not watch. "Perhaps" counts as yes.
"""

from __future__ import annotations

from ebpfasm.analysis.vm.code import Code, Step
from ebpfasm.ir.layout import JUMPS
from ebpfasm.isa.forms import Form

_ALL = (1 << 11) - 1
_CLOBBERED = 0b111110
_ENTRY = 0b10 | 1 << 10  # r1 and r10
_CALLBACK = 0b110 | 1 << 10  # every callback gets two arguments at least
_PACKET = frozenset({Form.LOAD_ABS, Form.LOAD_IND})
_ENDS = frozenset({Form.JUMP, Form.JUMP_LONG})


def all_written(code: Code, returns_value: bool) -> bool:
    """Whether no step of any program reads a register before it was written."""
    if any(step.instruction.spec.form is Form.CALL_REG for step in code.steps):
        return False
    called = {s.target for s in code.steps if s.instruction.spec.form is Form.CALL_LOCAL}
    taken = {s.target for s in code.steps if s.instruction.spec.op == "lddw_func"}
    entries = dict.fromkeys(called, _ALL)
    roots = set(code.programs.values())
    must_return = (roots | taken) if returns_value else set()
    for start in taken:
        entries[start] = entries.get(start, _ALL) & _CALLBACK
    for start in roots:
        entries[start] = entries.get(start, _ALL) & _ENTRY
    return _Search(code, entries, must_return).holds()


class _Search:
    """Register masks before each step, which only ever shrink."""

    def __init__(self, code: Code, entries: dict[int, int], must_return: set[int]) -> None:
        self.code = code
        self.steps = code.steps
        self.must_return = must_return
        self.before: dict[int, int] = {}
        self.waiting: list[int] = []
        self.calls: dict[int, set[int]] = {}  # function -> its calls
        self.void: set[int] = set()  # functions that may return without r0
        for start, mask in entries.items():
            self._reach(start, mask)

    def _reach(self, at: int, mask: int) -> None:
        old = self.before.get(at)
        new = mask if old is None else old & mask
        if new != old:
            self.before[at] = new
            self.waiting.append(at)

    def holds(self) -> bool:
        """Run to the fixpoint, and look at what each step reads."""
        while self.waiting:
            at = self.waiting.pop()
            self._follow(at, self.steps[at], self.before[at])
        fine = (not self.steps[at].reads & ~mask for at, mask in self.before.items())
        return all(fine) and not self.void & self.must_return

    def _follow(self, at: int, step: Step, mask: int) -> None:
        form = step.instruction.spec.form
        if step.fault is not None:
            return
        if form is Form.EXIT:
            start = self.code.routine(at).start
            if not mask & 1 and start not in self.void:
                self.void.add(start)
                self.waiting.extend(self.calls.get(start, ()))
            return
        after = mask | step.writes
        if form in JUMPS:
            self._reach(step.target, after)
            if form in _ENDS:
                return
        elif form is Form.JUMP_REG:
            routine = self.code.routine(at)
            for landing in self.code.landings:
                if routine.start <= landing < routine.end:
                    self._reach(landing, after)
            return
        elif form is Form.CALL_LOCAL:
            self.calls.setdefault(step.target, set()).add(at)
            self._reach(step.target, mask & _CLOBBERED | 1 << 10)
            after = after & ~_CLOBBERED & ~1 | (step.target not in self.void)
        elif form in (Form.CALL_HELPER, Form.CALL_KFUNC) or form in _PACKET:
            after = after & ~_CLOBBERED | 1
        self._reach(at + 1, after)
