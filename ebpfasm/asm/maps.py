"""The `.map` directive: what a map may be given, checked against the table of map types.

`.map NAME, TYPE [, template], key=TYPE, value=TYPE, max_entries=N, flags=A | B, ...`

A type is u8 to u64, s8 to s64, an array of one (`u8[6]`), a context's, packet header's or BTF's
struct, or a number of bytes. `inner=NAME` is a map above that shapes the ones inside; where that
one is a `template`, it is not created by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ebpfasm.asm.reading.directives import DIRECTIVES
from ebpfasm.asm.reading.expressions import names as names_in
from ebpfasm.asm.reading.names import SIZE, Names
from ebpfasm.asm.reading.statements import Argument, Directive, Value
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir import MapSpec
from ebpfasm.isa import constants, kinds

TEMPLATE = "template"

# C types that a key or value may be named by, and their bytes.
SCALARS: dict[str, int] = {f"{sign}{bits}": bits // 8 for sign in "us" for bits in (8, 16, 32, 64)}
_ARRAY = re.compile(r"([us](?:8|16|32|64))\[([1-9][0-9]{0,8})\]", re.ASCII)

_SETTINGS = ("key", "value", "key_size", "value_size", "max_entries", "flags", "inner",
             "pinning", "numa_node", "map_extra")  # fmt: skip
_PINNINGS = {"none": "", "by_name": "by_name", "LIBBPF_PIN_NONE": "",
             "LIBBPF_PIN_BY_NAME": "by_name"}  # fmt: skip
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1

Report = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """A map as the directive describes it; a template is there for other maps' `inner=` only."""

    spec: MapSpec
    template: bool


def map_definition(
    directive: Directive, above: Mapping[str, MapSpec], names: Names, report: Report
) -> MapDefinition | None:
    """Read a `.map`; None where something is wrong, which is reported. `above` are inner maps."""
    found: list[Diagnostic] = []
    definition = _Map(directive, above, names, found.append).read()
    for diagnostic in found:
        report(diagnostic)
    return None if found else definition


def type_size(name: str, names: Names) -> int | None:
    """The bytes of a type by its name, None where there is none of that name.

    >>> type_size("u64", Names()), type_size("u8[6]", Names()), type_size("iphdr", Names())
    (8, 6, 20)
    """
    array = _ARRAY.fullmatch(name)
    if array is not None:
        return SCALARS[array[1]] * int(array[2])
    return SCALARS[name] if name in SCALARS else names.find(name + SIZE)


class _Map:
    """One directive while it is read."""

    def __init__(
        self, directive: Directive, above: Mapping[str, MapSpec], names: Names, report: Report
    ) -> None:
        self._directive = directive
        self._above = above
        self._names = names
        self._report = report
        self._settings: dict[str, Argument] = {}

    def read(self) -> MapDefinition | None:
        """Everything that is said, or None where not even name and type are."""
        positional = [each.value for each in self._directive.arguments if not each.key]
        if len(positional) < 2:
            self._wrong(".map needs a name and a type first")
            return None
        name, kind, *words = positional
        for word in words:
            if word.text != TEMPLATE or words.count(word) > 1:
                self._wrong(f"{word.text} is no setting of a map", word.span, "write NAME=VALUE")
        self._collect()
        row, type_name = self._type(kind)
        key, key_size = self._side("key", row)
        value, value_size = self._side("value", row)
        spec = MapSpec(
            name.text,
            type_name,
            key_size,
            value_size,
            self._entries(row),
            self._flags(row),
            key,
            value,
            self._inner(row),
            pinning=self._pinning(),
            numa_node=self._numa_node(),
            map_extra=self._number("map_extra", _U64) or 0,
            span=self._directive.span,
        )
        return MapDefinition(spec, bool(words))

    def _wrong(self, message: str, span: Span | None = None, hint: str | None = None) -> None:
        hint = hint or f"write {DIRECTIVES['.map']}"
        self._report(error("asm-map", message, span or self._directive.span, hint=hint))

    def _collect(self) -> None:
        for argument in self._directive.arguments:
            key = argument.key
            if key and key not in _SETTINGS:
                hint = did_you_mean(key, _SETTINGS)
                self._wrong(f"a map has no {key}", argument.span, hint)
            elif key in self._settings:
                self._wrong(f"{key} is given twice", argument.span, "leave one out")
            elif key:
                self._settings[key] = argument

    def _type(self, given: Value) -> tuple[kinds.MapType | None, str | int]:
        """The table's row, None for a number that it does not have, and what a spec calls it."""
        row = kinds.MAP_TYPES.find(given.text)
        if row is None and given.number is not None and 0 <= given.number <= _U32:
            row = kinds.MAP_TYPES.by_id.get(given.number)
            return row, row.name if row is not None else given.number
        if row is None:
            hint = did_you_mean(given.text, kinds.MAP_TYPES.by_name)
            self._wrong(f"there is no map type {given.text}", given.span, hint)
            return None, ""
        return row, row.name

    def _number(self, key: str, most: int) -> int | None:
        """A setting's number, None where it is not given."""
        argument = self._settings.get(key)
        if argument is None:
            return None
        value = argument.value
        if value.number is None:
            self._no_number(value)
            return 0
        if not 0 <= value.number <= most:
            message = f"{value.number} is outside 0 to {most}"
            self._report(error("asm-range", message, value.span))
            return 0
        return value.number

    def _no_number(self, value: Value) -> None:
        if value.expression is None:
            self._wrong(f"{value.text} is no number", value.span, "write a number")
            return
        for name in names_in(value.expression):
            # What has a number by now got it below.
            if self._names.find(name.text) is None or name.text in self._names.constants:
                self._report(self._names.unknown(name.text, name.span))

    def _side(self, side: str, row: kinds.MapType | None) -> tuple[str, int]:
        """A key's or value's type, empty if it is given by size, and its bytes."""
        typed, sized = self._settings.get(side), self._settings.get(f"{side}_size")
        if typed is not None and sized is not None:
            self._wrong(f"give {side} or {side}_size, not both", sized.span, "leave one out")
        name, size = "", self._number(f"{side}_size", _U32)
        if typed is not None and typed.value.number is not None:
            size = self._number(side, _U32)
        elif typed is not None:
            name, size = self._named_type(side, typed.value)
            if size is None:
                return "", 0
        if row is None:
            return name, size or 0
        sizes = row.key_sizes if side == "key" else row.value_sizes
        if size is None and len(sizes) == 1:
            return name, sizes[0]
        self._check_size(side, size, sizes, row)
        return name, size or 0

    def _named_type(self, side: str, given: Value) -> tuple[str, int | None]:
        size = type_size(given.text, self._names)
        if given.text in SCALARS:
            return given.text, size
        # The tables of fields, which most files do without.
        from ebpfasm.isa import contexts, packets

        if size is None:
            known = (*SCALARS, *contexts.STRUCTS, *packets.STRUCTS)
            hint = did_you_mean(given.text, known) or "use u8 to u64, s8 to s64, or a size in bytes"
            self._wrong(f"{given.text} is no type for a {side}", given.span, hint)
            return "", None
        static = given.text in contexts.STRUCTS or given.text in packets.STRUCTS
        # A name that only the given BTF explains would say nothing without it.
        is_kept = static or _ARRAY.fullmatch(given.text)
        return given.text if is_kept else "", size

    def _check_size(
        self, side: str, size: int | None, sizes: tuple[int, ...], row: kinds.MapType
    ) -> None:
        given = self._settings.get(side) or self._settings.get(f"{side}_size")
        span = given.span if given is not None else None
        if size is None:
            self._wrong(f"a map of type {row.name} needs {side}=")
        elif sizes == (0,) and size:
            self._wrong(f"a map of type {row.name} has no {side}s", span, f"leave {side}= out")
        elif (sizes and size not in sizes) or not (size or sizes == (0,)):
            allowed = " or ".join(map(str, sizes)) or "1 or more"
            message = f"a {side} of {size} bytes, where type {row.name} takes {allowed}"
            self._wrong(message, span, f"change {side}=")

    def _entries(self, row: kinds.MapType | None) -> int:
        given = self._settings.get("max_entries")
        number = self._number("max_entries", _U32)
        if row is None:
            return number or 0
        if row.no_entries and number:
            span = given.span if given is not None else None
            self._wrong(f"a map of type {row.name} has no max_entries", span, "leave it out")
        # A perf event array without a size gets one entry a CPU when it is created.
        optional = row.no_entries or row.name == "perf_event_array"
        if not optional and given is None:
            self._wrong("max_entries= is missing")
        elif not optional and number == 0 and given is not None and given.value.number == 0:
            message = f"a map of type {row.name} needs max_entries of 1 or more"
            self._wrong(message, given.span, "write max_entries=1")
        return number or 0

    def _flags(self, row: kinds.MapType | None) -> int:
        flags = self._number("flags", _U32) or 0
        needed = row.needs_flag if row is not None else ""
        if row is not None and needed and not flags & constants.CONSTANTS[needed]:
            message = f"the kernel creates a map of type {row.name} only with {needed}"
            self._wrong(message, None, f"add flags={needed}")
        return flags

    def _inner(self, row: kinds.MapType | None) -> MapSpec | None:
        given = self._settings.get("inner")
        outer = row is not None and row.name.endswith("_of_maps")
        if given is None:
            if outer:
                assert row is not None
                hint = "describe one of its inner maps above, and write inner=NAME"
                self._wrong(f"a map of type {row.name} needs inner=", None, hint)
            return None
        if row is not None and not outer:
            self._wrong(f"a map of type {row.name} has no inner map", given.span, "leave it out")
            return None
        inner = self._above.get(given.value.text)
        if inner is None:
            hint = did_you_mean(given.value.text, self._above) or "describe it above this line"
            self._wrong(f"there is no map {given.value.text} above", given.value.span, hint)
        elif inner.inner is not None:
            message = f"{inner.name} has maps inside itself, and the kernel allows one level"
            self._wrong(message, given.value.span, "choose another inner map")
        return inner

    def _pinning(self) -> str:
        given = self._settings.get("pinning")
        if given is None:
            return ""
        if given.value.text not in _PINNINGS:
            hint = "write pinning=by_name"
            self._wrong(f"there is no pinning {given.value.text}", given.value.span, hint)
        return _PINNINGS.get(given.value.text, "")

    def _numa_node(self) -> int | None:
        return self._number("numa_node", _U32)
