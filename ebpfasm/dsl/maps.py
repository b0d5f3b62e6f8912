"""A map's definition, checked against the table of map types."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ebpfasm.dsl.findings import Findings, did_you_mean
from ebpfasm.errors import LineSpan
from ebpfasm.ir import MapSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES, MapType

TYPE_SIZES = {f"{sign}{bits}": bits // 8 for sign in "us" for bits in (8, 16, 32, 64)}
_ARRAY = re.compile(r"([us](?:8|16|32|64))\[([1-9][0-9]{0,8})\]", re.ASCII)
_U32_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """A map as the user wrote it, before any check."""

    name: str
    type: str | int
    key: str | int
    value: str | int
    max_entries: int
    flags: int
    inner: MapSpec | None
    pinning: str
    numa_node: int | None
    map_extra: int
    span: LineSpan

    def spec(self, findings: Findings) -> MapSpec:
        """The definition as a value; what is wrong with it is reported and taken as 0."""
        kind, name = self._type(findings)
        key_size, key = self._size("key", self.key, kind, findings)
        value_size, value = self._size("value", self.value, kind, findings)
        self._check_entries(kind, findings)
        self._check_flags(kind, findings)
        self._check_inner(kind, findings)
        self._check_place(findings)
        return MapSpec(
            findings.check_name("map", self.name, self.span), name, key_size, value_size,
            self.max_entries, self.flags, key, value, self.inner, self.pinning, self.numa_node,
            self.map_extra, span=self.span,
        )  # fmt: skip

    def _wrong(self, findings: Findings, message: str, hint: str | None = None) -> None:
        findings.report("dsl-map", f"map {self.name!r}: {message}", self.span, hint=hint)

    def _type(self, findings: Findings) -> tuple[MapType | None, str | int]:
        """The table's row, None for a number that this ebpfasm does not know, and the name."""
        kind: MapType | None
        if isinstance(self.type, int):
            kind = MAP_TYPES.by_id.get(self.type)
            return kind, kind.name if kind else self.type
        kind = MAP_TYPES.find(self.type)
        if kind is not None:
            return kind, kind.name
        number = MAP_TYPES.id_of(self.type)
        if number is not None:
            return MAP_TYPES.by_id.get(number), MAP_TYPES.name_of(number)
        hint = did_you_mean(self.type, MAP_TYPES.by_name)
        message = f"map {self.name!r}: there is no map type {self.type!r}"
        findings.report("dsl-symbol", message, self.span, hint=hint)
        return None, self.type

    def _size(
        self, part: str, given: str | int, kind: MapType | None, findings: Findings
    ) -> tuple[int, str]:
        """Bytes and C type of the key or value; the type's only size where none is given."""
        sizes = () if kind is None else kind.key_sizes if part == "key" else kind.value_sizes
        named = _type_size(given) if isinstance(given, str) else given
        if named is None:
            hint = "types are u8 to u64 and s8 to s64; give the bytes of any other, as in key=12"
            self._wrong(findings, f"{given!r} is no {part} type", hint.replace("key", part))
            return 0, str(given)
        size = named
        if size == 0 and len(sizes) == 1:
            size = sizes[0]
        if kind is None or self._size_is_right(part, size, sizes, kind, findings):
            return size, given if isinstance(given, str) else ""
        return 0, ""

    def _size_is_right(
        self, part: str, size: int, sizes: tuple[int, ...], kind: MapType, findings: Findings
    ) -> bool:
        if size in sizes or (not sizes and 0 < size <= _U32_MAX):
            return True
        if sizes == (0,):
            self._wrong(findings, f"a map of type {kind.name} has no {part}s", f"leave {part} out")
        elif size == 0:
            hint = f"say {part}='u32', or give its bytes as in {part}=4"
            self._wrong(findings, f"a map of type {kind.name} needs a {part} type", hint)
        else:
            allowed = " or ".join(map(str, sizes)) or f"1 to {_U32_MAX}"
            message = f"a {part} of {size} bytes, where type {kind.name} takes {allowed}"
            self._wrong(findings, message)
        return False

    def _check_entries(self, kind: MapType | None, findings: Findings) -> None:
        if not 0 <= self.max_entries <= _U32_MAX:
            message = f"max_entries = {self.max_entries} is outside 0 to {_U32_MAX}"
            self._wrong(findings, message)
        elif kind is None:
            return
        elif kind.no_entries and self.max_entries:
            message = f"a map of type {kind.name} has no max_entries"
            self._wrong(findings, message, "leave max_entries out")
        # A perf event array without a size gets one entry a CPU when it is created.
        elif not (kind.no_entries or self.max_entries or kind.name == "perf_event_array"):
            self._wrong(findings, f"a map of type {kind.name} needs max_entries of 1 or more")

    def _check_flags(self, kind: MapType | None, findings: Findings) -> None:
        if not 0 <= self.flags <= _U32_MAX:
            self._wrong(findings, f"flags = {self.flags} is outside 0 to {_U32_MAX}")
        elif kind is not None and kind.needs_flag and not self.flags & CONSTANTS[kind.needs_flag]:
            hint = f"add flags={CONSTANTS[kind.needs_flag]:#x}"
            message = f"the kernel creates a map of type {kind.name} only with {kind.needs_flag}"
            self._wrong(findings, message, hint)

    def _check_inner(self, kind: MapType | None, findings: Findings) -> None:
        if kind is None:
            return
        outer = kind.name.endswith("_of_maps")
        if outer and self.inner is None:
            hint = "give one of its inner maps, as in inner=b.map(...)"
            self._wrong(findings, f"a map of type {kind.name} needs an inner map", hint)
        elif self.inner is not None and not outer:
            self._wrong(findings, f"a map of type {kind.name} has no inner map")
        elif self.inner is not None and self.inner.inner is not None:
            message = f"inner map {self.inner.name!r} has maps inside itself"
            self._wrong(findings, message, "the kernel allows one level")

    def _check_place(self, findings: Findings) -> None:
        if self.pinning not in ("", "by_name"):
            self._wrong(findings, f"there is no pinning {self.pinning!r}", "say pinning='by_name'")
        if self.numa_node is not None and not 0 <= self.numa_node <= _U32_MAX:
            self._wrong(findings, f"numa_node = {self.numa_node} is outside 0 to {_U32_MAX}")
        if not 0 <= self.map_extra < 1 << 64:
            self._wrong(findings, f"map_extra = {self.map_extra:#x} does not fit 64 bits")


def _type_size(name: str) -> int | None:
    """Bytes of a type such as "u32" or "u8[6]"; 0 for no name, None for no type."""
    match = _ARRAY.fullmatch(name)
    if match is not None:
        return TYPE_SIZES[match[1]] * int(match[2])
    return TYPE_SIZES.get(name) if name else 0
