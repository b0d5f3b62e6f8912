"""The `.jumptable` directive: the places that a `gotox` of a function may go to.

`.jumptable NAME, LABEL, LABEL, ...` stands in the function whose labels it names, anywhere. `rX =
NAME ll` is the table's address; each entry has 8 bytes, and what is loaded of one is for `gotox`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ebpfasm.asm.reading import directives
from ebpfasm.asm.reading.statements import Directive, Role, Symbol
from ebpfasm.errors import Diagnostic, Note, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.tables import ENTRY, table_spec

DIRECTIVE = ".jumptable"
LONGEST = 1 << 16  # entries; the kernel takes no more than a program has instructions

Report = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class JumpTable:
    """A table as its directive describes it, and the function that it stands in."""

    name: str
    function: str
    labels: tuple[Symbol, ...]
    directive: Directive

    @property
    def size(self) -> int:
        """Bytes that a program sees of it."""
        return ENTRY * len(self.labels)


class JumpTables:
    """The jump tables of a file."""

    def __init__(self) -> None:
        self._tables: dict[str, JumpTable] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    def __getitem__(self, name: str) -> JumpTable:
        return self._tables[name]

    def add(self, directive: Directive, function: str | None, report: Report) -> None:
        """Note a directive that stands in a function, or in none."""
        arguments = directive.arguments
        wrong = next((each for each in arguments if each.key or each.value.quoted), None)
        if wrong is not None or len(arguments) < 2:
            span = wrong.span if wrong is not None else directive.span
            message = f"{DIRECTIVE} needs a name and labels"
            report(error("asm-directive", message, span, hint=directives.usage(directive)))
            return
        if function is None:
            hint = "write it behind a label or an instruction of the function"
            message = f"{DIRECTIVE} stands in no function, and labels belong to functions"
            report(error("asm-directive", message, directive.span, hint=hint))
            return
        if len(arguments) > LONGEST:
            message = f"a jump table has at most {LONGEST} entries"
            report(error("asm-limit", message, directive.span))
            return
        name, *labels = (each.value for each in arguments)
        if name.text in self._tables:
            first = Note("the first one is here", self._tables[name.text].directive.span)
            message = f"jump table {name.text} is defined twice"
            report(error("asm-duplicate", message, name.span, notes=(first,)))
            return
        symbols = tuple(Symbol(Role.TARGET, each.text, each.span) for each in labels)
        self._tables[name.text] = JumpTable(name.text, function, symbols, directive)

    def labels_of(self, function: str) -> Iterator[Symbol]:
        """The labels that a function's tables name."""
        for each in self._tables.values():
            if each.function == function:
                yield from each.labels

    def check_names(self, taken: Mapping[str, object], report: Report) -> None:
        """Report tables that have the name of something else that has an address."""
        for name, each in self._tables.items():
            if name in taken:
                span = directives.name_span(each.directive)
                report(error("asm-duplicate", f"{name} is defined twice", span))

    def names(self) -> Iterable[str]:
        """The names of all."""
        return self._tables

    def specs(self) -> Iterator[MapSpec]:
        """Each table as the map that it becomes."""
        for each in self._tables.values():
            labels = [symbol.name for symbol in each.labels]
            yield table_spec(each.name, each.function, labels, each.directive.span)


def print_tables(maps: Iterable[MapSpec], function: str) -> Iterator[str]:
    """The directives of a function's tables."""
    from ebpfasm.ir.tables import entries_of, is_table

    for spec in filter(is_table, maps):
        entries = list(entries_of(spec))
        if entries and entries[0].function == function:
            yield f"    {DIRECTIVE} {', '.join((spec.name, *(each.label for each in entries)))}"
