"""The mistakes that a builder collects, and the sentences that several of its parts share."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ebpfasm.dsl.place import Call
from ebpfasm.errors import Diagnostic, DslError, LineSpan, Location, Note, error

# What the assembly language and ELF symbol tables take as a name.
_NAME = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*", re.ASCII)


class Findings:
    """What a builder and its programs share: mistakes so far, and whether it is built."""

    __slots__ = ("_built", "_wrong", "unknown_helpers")

    def __init__(self) -> None:
        # Explained at the end: a function of the name may still come.
        self.unknown_helpers: list[tuple[str, LineSpan]] = []
        self._wrong: list[Diagnostic] = []
        self._built: LineSpan | None = None

    def report(
        self,
        code: str,
        message: str,
        span: Location | None,
        *,
        notes: tuple[Note, ...] = (),
        hint: str | None = None,
    ) -> None:
        """Keep a mistake for the end."""
        self._wrong.append(error(code, message, span, notes=notes, hint=hint))

    def check_open(self, call: Call) -> None:
        """Raise DslError where the builder is built already: nobody would read a report."""
        if self._built is None:
            return
        message = f"{call.method} was called on a builder that is built already"
        notes = (Note("it was built here", self._built),)
        raise DslError(error("dsl-unfinished", message, call.span, notes=notes))

    def close(self, call: Call) -> None:
        """End the builder's life."""
        self.check_open(call)
        self._built = call.span

    def check_name(self, what: str, name: object, span: Location) -> str:
        """The name if it is one; an empty text, and a report, otherwise."""
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
        self.report(
            "dsl-operand",
            f"{name!r} cannot be the name of a {what}",
            span,
            hint="a name has letters, digits, '_', '.' and '$', and begins with no digit",
        )
        return ""

    def check_types(self, call: Call, kinds: tuple[type, ...], **given: object) -> bool:
        """Whether each argument is of one of the types; a report for each that is not."""
        right = True
        for name, value in given.items():
            if not isinstance(value, kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                message = f"{call.method}: {name} must be {wanted}, not {value!r}"
                self.report("dsl-operand", message, call.span)
                right = False
        return right

    def raise_if_any(self) -> None:
        """Raise DslError with all that was reported, in the order of files and lines."""
        if self._wrong:
            raise DslError(*sorted(self._wrong, key=_reading_order))


def _reading_order(diagnostic: Diagnostic) -> tuple[str, int]:
    span = diagnostic.span
    return ("", 0) if span is None else (span.name, span.line)


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """A hint with the nearest of the names, None where none is near."""
    from difflib import get_close_matches  # only mistakes need it

    near = get_close_matches(name, names, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else None
