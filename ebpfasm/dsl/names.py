"""Names looked up when everything is defined: labels, functions, maps, misspelt helpers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebpfasm.dsl.findings import Findings, did_you_mean
from ebpfasm.dsl.stream import Stream
from ebpfasm.errors import Location
from ebpfasm.ir import FunctionRef, Label, LabelRef, MapRef, VarRef, instructions_of
from ebpfasm.ir.tables import entries_of
from ebpfasm.isa import helpers


@dataclass(frozen=True, slots=True)
class Names:
    """All names of a builder, and what each is: "program", "function" or "map"."""

    kinds: dict[str, str]
    findings: Findings

    def check(self, code: Stream) -> None:
        """Report every name in the code that is none."""
        labels = {item.name for item in code.items if isinstance(item, Label)}
        for table in code.tables:
            for entry in entries_of(table):
                if entry.label not in labels:
                    where = f"{code.kind} {code.name!r}"
                    message = f"jump table {table.name!r}: {where} has no label {entry.label!r}"
                    self._report(message, table.span, entry.label, labels, "dsl-label")
        for each in instructions_of(code.items):
            match each.ref:
                case LabelRef(name=name) if name not in labels:
                    where = f"{code.kind} {code.name!r}"
                    message = f"label {name!r} is jumped to and never placed in {where}"
                    self._report(message, each.span, name, labels, "dsl-label")
                case FunctionRef(name=name):
                    self._check_kind("function", name, each.span)
                case MapRef(name=name) | VarRef(map=name):
                    self._check_kind("map", name, each.span)
                case _:
                    pass

    def explain_helpers(self) -> None:
        """Report the names that were called as helpers and are none."""
        for name, span in self.findings.unknown_helpers:
            message = f"there is no helper {name!r}"
            if self.kinds.get(name) == "function":
                hint = f'functions of the builder are called by call_local("{name}")'
                self.findings.report("dsl-symbol", message, span, hint=hint)
            else:
                self._report(message, span, name, helpers.BY_NAME)

    def _check_kind(self, wanted: str, name: str, span: Location | None) -> None:
        kind = self.kinds.get(name)
        if kind == wanted:
            return
        if kind is None:
            alike = [each for each, kind in self.kinds.items() if kind == wanted]
            self._report(f"there is no {wanted} {name!r}", span, name, alike)
        else:
            message = f"{name!r} is a {kind}, where a {wanted} is needed"
            self.findings.report("dsl-symbol", message, span)

    def _report(
        self,
        message: str,
        span: Location | None,
        name: str,
        candidates: Iterable[str],
        code: str = "dsl-symbol",
    ) -> None:
        self.findings.report(code, message, span, hint=did_you_mean(name, candidates))
