"""Why the machine stopped: a fault, and how it becomes a Diagnostic at the program's own line."""

from __future__ import annotations

from dataclasses import dataclass

from ebpfasm.errors import Diagnostic, Location, Note, VmError, error


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is: the function, the instruction's text, and its place in the source."""

    function: str
    index: int
    text: str
    span: Location | None


class Fault(Exception):
    """Something that a program must not do. Never leaves the machine: a VmError does.

    `code` is one of errors.CODES; `message` begins with the verb, for the instruction is named
    before it; `hint` says how to mend it.
    """

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.hint = hint


def stopped(fault: Fault, trail: tuple[Place, ...]) -> VmError:
    """The error that the user sees. `trail` is the backtrace, innermost first."""
    if not trail:
        return VmError(error(fault.code, fault.message, hint=fault.hint))
    here, *callers = trail
    notes = tuple(
        Note(f"called from {place.function!r}, instruction {place.index}", place.span)
        for place in callers
    )
    diagnostic: Diagnostic = error(
        fault.code,
        f"{here.function!r}, instruction {here.index} ({here.text}): {fault.message}",
        here.span,
        notes=notes,
        hint=fault.hint,
    )
    return VmError(diagnostic)
