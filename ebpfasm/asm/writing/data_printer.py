"""Sections of variables as text: labels, sizes, values, and addresses as a name and a distance."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from ebpfasm.ir import Instruction, Item, MapSpec, VarRef, VarSpec
from ebpfasm.ir.packed import Stream
from ebpfasm.ir.specs import references_of

_DIRECTIVES = {1: ".byte", 2: ".short", 4: ".long", 8: ".quad"}
_ROW = 16  # bytes of a line of other data

Bases = Mapping[tuple[str, str], int]


def variables_of(streams: Iterable[Iterable[Item]], known: Iterable[VarSpec]) -> list[VarSpec]:
    """Variables that are known, and those that streams name and nobody describes.

    An undescribed one begins where the lowest reference to it points. Its size is negative, to
    say that it is not known.
    """
    found = {(each.map, each.name): each for each in known}
    guessed: dict[tuple[str, str], int] = {}
    for stream in streams:
        for ref in references_of(stream):
            if isinstance(ref, VarRef) and (ref.map, ref.name) not in found:
                key = ref.map, ref.name
                guessed[key] = min(ref.offset, guessed.get(key, ref.offset))
    more = (VarSpec(name, map, offset, -1) for (map, name), offset in guessed.items())
    return [*found.values(), *more]


def bases_of(variables: Iterable[VarSpec]) -> Bases:
    """Where each variable begins, by its map and name."""
    return {(each.map, each.name): each.offset for each in variables}


def with_addends(items: Sequence[Item], bases: Bases) -> Sequence[Item]:
    """The items, with `counter+8` for the name of a reference that points behind its beginning."""
    if not bases or isinstance(items, Stream):
        return items
    return [_with_addend(each, bases) for each in items]


def _with_addend(each: Item, bases: Bases) -> Item:
    if not isinstance(each, Instruction) or not isinstance(each.ref, VarRef):
        return each
    ref = each.ref
    distance = ref.offset - bases.get((ref.map, ref.name), ref.offset)
    if distance == 0:
        return each
    return replace(each, ref=replace(ref, name=f"{ref.name}{distance:+}"))


def print_data(spec: MapSpec, variables: Sequence[VarSpec]) -> Iterator[str]:
    """The section of variables that a map is."""
    plain = spec.name in (".data", ".rodata", ".bss")
    yield spec.name if plain else f".section {spec.name}"
    content = bytes(spec.contents).ljust(spec.value_size, b"\0")
    own = sorted((each for each in variables if each.map == spec.name), key=lambda v: v.offset)
    places = sorted({each.offset for each in own} | {spec.value_size})
    following = dict(pairwise(places))
    if places[0] > 0:
        yield from _values(content[: places[0]])
    for number, each in enumerate(own):
        end = following.get(each.offset, each.offset)
        yield f"{each.name}:"
        if each.size >= 0 and each.size != end - each.offset:
            yield f".size {each.name}, {each.size}"
        # Of several variables in one place the last one is followed by their bytes.
        if number + 1 == len(own) or own[number + 1].offset != each.offset:
            yield from _values(content[each.offset : end])


def _values(chunk: bytes) -> Iterator[str]:
    if not chunk:
        return
    if not any(chunk):
        yield f"    .zero {len(chunk)}"
    elif len(chunk) in _DIRECTIVES:
        # Numbers are read in this machine's order again.
        number = int.from_bytes(chunk, "little" if sys.byteorder == "little" else "big")
        yield f"    {_DIRECTIVES[len(chunk)]} {number:#x}"
    else:
        for at in range(0, len(chunk), _ROW):
            yield "    .byte " + ", ".join(f"{byte:#04x}" for byte in chunk[at : at + _ROW])
