"""Jump tables: maps of type insn_array whose entries are places of a function (Linux 6.19).

`gotox` jumps to what an entry holds. A table belongs to the program that it is linked into: the
kernel wants places counted from the program's first slot, and lets one program use it. So it is
made anew for every program, while a program is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from ebpfasm.errors import Diagnostic, Location, error
from ebpfasm.ir.references import PlaceRef
from ebpfasm.ir.specs import MapSpec

TYPE = "insn_array"
ENTRY = 8  # bytes of an entry as programs see it, an address; user space sees more of it


def table_spec(
    name: str, function: str, labels: Sequence[str], span: Location | None = None
) -> MapSpec:
    """A jump table of one function, in the order of its entries."""
    from ebpfasm.isa.kinds import MAP_TYPES  # nothing else in this room needs the table

    row = MAP_TYPES.by_name[TYPE]
    initial = {index: PlaceRef(function, label) for index, label in enumerate(labels)}
    return MapSpec(
        name, TYPE, row.key_sizes[0], row.value_sizes[0], len(labels),
        initial=MappingProxyType(initial), span=span,
    )  # fmt: skip


def is_table(spec: MapSpec) -> bool:
    """Whether a map is a jump table. An insn_array without places is an ordinary map."""
    return spec.type == TYPE and bool(spec.initial)


def entries_of(spec: MapSpec) -> Iterator[PlaceRef]:
    """A table's entries in their order."""
    for _, ref in sorted(spec.initial.items()):
        if isinstance(ref, PlaceRef):
            yield ref


def labels_in(function: str, maps: Iterable[MapSpec]) -> tuple[str, ...]:
    """The labels of a function that jump tables name."""
    refs = (ref for spec in maps if is_table(spec) for ref in entries_of(spec))
    return tuple(dict.fromkeys(ref.label for ref in refs if ref.function == function))


def placed(
    maps: Iterable[MapSpec],
    labels: Mapping[str, Mapping[str, int]],
    wrong: list[Diagnostic],
) -> Mapping[str, tuple[int, ...]]:
    """The entries of each table as slots; what does not exist is added to `wrong`.

    `labels` has the slot of each label, by function.
    """
    found: dict[str, tuple[int, ...]] = {}
    for spec in filter(is_table, maps):
        slots = []
        for ref in entries_of(spec):
            slot = labels.get(ref.function, {}).get(ref.label)
            if slot is None:
                message = f"jump table {spec.name!r}: there is no label {ref.name!r}"
                wrong.append(error("link-label", message, spec.span))
            slots.append(slot or 0)
        found[spec.name] = tuple(slots)
    return MappingProxyType(found)
