"""What a statement's shape means, learnt from the grammar by asking it twice.

A shape is a statement without its registers, numbers and names (runtime/native/text.c cuts them
out). Reading it with values that can be told apart shows which value goes into which field; so
the grammar and its reader stay the only ones who know what a statement means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations

from ebpfasm.asm.reading.recipes import NAME, NARROW, NUMBER, WIDE, Place, Recipe, kept
from ebpfasm.asm.reading.statements import Operation
from ebpfasm.errors import Diagnostic, Source, Span
from ebpfasm.ir import Instruction
from ebpfasm.isa.table import TABLE

_MARK = re.compile("[\x01-\x04]")
_WORD = re.compile(r"(?<![0-9])[A-Za-z_.$][\w.$@]*")
_REGISTER = re.compile(r"[rw][0-9]+")


def words() -> tuple[str, ...]:
    """Words that are part of a shape: those that the printer writes, registers left out."""
    return kept().words or _words()


@cache
def _words() -> tuple[str, ...]:
    from ebpfasm.asm.writing.printer import text_of

    found = {
        word
        for spec in TABLE
        for word in _WORD.findall(text_of(Instruction(spec), plain=True))
        if not _REGISTER.fullmatch(word)
    }
    return tuple(sorted(found))


def learn(shape: str) -> Recipe | None:
    """The recipe for a shape, None where each statement of it has to be read by itself."""
    known = kept()
    if shape not in known:
        known.add(shape, _learn(shape))
    return known.find(shape)


def keep() -> None:
    """Leave what was learnt to later runs."""
    kept().write(words())


def _learn(shape: str) -> Recipe | None:
    marks = _MARK.findall(shape)
    registers = [number for number, mark in enumerate(marks) if mark in (WIDE, NARROW)]
    for same, zero in _guesses(registers):
        first = _ask(shape, marks, same, zero, 1)
        if first is None:
            continue
        recipe = _compare(marks, first, _values(marks, same, zero, 1), same, zero)
        second = _ask(shape, marks, same, zero, 2)
        if recipe is None or second is None:
            return None
        again = _compare(marks, second, _values(marks, same, zero, 2), same, zero)
        return recipe if again is not None and _alike(recipe, again) else None
    return None


Pairs = tuple[tuple[int, int], ...]


def _guesses(registers: list[int]) -> Iterator[tuple[Pairs, tuple[int, ...]]]:
    """What registers may have to do with each other: nothing, two the same, or one or two r0."""
    yield (), ()
    for pair in combinations(registers, 2):
        yield (pair,), ()
    for number in (1, 2):
        for zero in combinations(registers, number):
            yield (), zero


def _values(marks: list[str], same: Pairs, zero: tuple[int, ...], turn: int) -> list[int]:
    """Values that can be told apart: registers from 1 to 9, numbers from 100 on."""
    values = []
    for number, mark in enumerate(marks):
        registers = 1 + number if turn == 1 else 9 - number
        values.append(registers if mark in (WIDE, NARROW) else 100 + 10 * turn + number)
    for low, high in same:
        values[high] = values[low]
    for number in zero:
        values[number] = 0
    return values


def _ask(
    shape: str, marks: list[str], same: Pairs, zero: tuple[int, ...], turn: int
) -> Operation | None:
    from ebpfasm.asm.reading.reader import StatementReader  # the grammar, where it is wanted

    values = iter(zip(marks, _values(marks, same, zero, turn), strict=True))

    def spell(match: re.Match[str]) -> str:
        mark, value = next(values)
        return {WIDE: "r", NARROW: "w", NUMBER: "", NAME: "name_"}[mark] + str(value)

    text = _MARK.sub(spell, shape)
    source = Source("<shape>", text)
    wrong: list[Diagnostic] = []
    found = StatementReader(source, wrong).read(Span(source, 0, len(text)), text)
    if wrong or len(found) != 1 or not isinstance(found[0], Operation):
        return None
    return found[0]


def _compare(
    marks: list[str], found: Operation, values: list[int], same: Pairs, zero: tuple[int, ...]
) -> Recipe | None:
    """Find each field's content among the values; None where a value went nowhere."""
    fixed = found.spec.fixed_fields
    registers = [number for number, mark in enumerate(marks) if mark in (WIDE, NARROW)]
    numbers = [number for number, mark in enumerate(marks) if mark == NUMBER]
    places = {
        "dst": _place(found.dst, registers, values, 0),
        "src": _place(found.src, registers, values, fixed.get("src", 0)),
        "off": _place(found.off, numbers, values, fixed.get("off", 0)),
        "imm": _place(found.imm, numbers, values, fixed.get("imm", 0)),
    }
    name, role = -1, None
    if found.symbol is not None:
        role = found.symbol.role
        names = {f"name_{values[n]}": n for n, mark in enumerate(marks) if mark == NAME}
        name = names.get(found.symbol.name, -1)
        if name == -1:
            return None
    used = {place.value for place in places.values()} | {name, *zero}
    used |= {high for low, high in same if low in used}
    if any(number not in used for number in range(len(marks))):
        return None
    return Recipe(
        found.spec,
        places["dst"],
        places["src"],
        places["off"],
        places["imm"],
        same,
        zero,
        name,
        role,
    )


def _place(content: int, candidates: list[int], values: list[int], fixed: int) -> Place:
    for number in candidates:
        if content and abs(content) == values[number]:
            return Place(number, content < 0)
    # A row's own constants are not in the operation: the codec puts them there.
    return Place(fixed=fixed or content, written=content)


def _alike(one: Recipe, other: Recipe) -> bool:
    return (one.spec, one.dst, one.src, one.off, one.imm, one.name, one.role) == (
        other.spec,
        other.dst,
        other.src,
        other.off,
        other.imm,
        other.name,
        other.role,
    )
