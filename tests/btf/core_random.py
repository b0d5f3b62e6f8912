"""Pairs of C files with structs of the same names: one as a program knows them, one as they are.

Members are kept, moved, resized, put into unnamed structs and unions, retyped or left out.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

_SCALARS = (
    "unsigned char", "unsigned short", "unsigned int", "unsigned long", "signed char", "char",
    "short", "int", "long", "_Bool", "void *", "struct s0 *", "enum e", "float", "double",
    "const unsigned int", "volatile unsigned long", "number", "unsigned __int128",
)  # fmt: skip
_BIT_TYPES = ("unsigned int", "int", "unsigned char", "_Bool", "enum e", "number")
_NO_NUMBERS = ("float", "double", "unsigned __int128")


class Member(NamedTuple):
    name: str
    type: str
    array: tuple[int, ...] = ()
    bits: int = 0

    def declared(self) -> str:
        behind = "".join(f"[{each}]" for each in self.array)
        return f"{self.type} {self.name}{behind}{f' : {self.bits}' if self.bits else ''};"


class Pair(NamedTuple):
    """The two C texts."""

    local: str
    target: str


def pair(seed: int, structs: int = 6) -> Pair:
    """Two texts that differ as kernels do."""
    return _Maker(Random(seed)).pair(structs)


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._known = 0  # structs that a member may be
        self._structs: dict[str, list[Member]] = {}

    def pair(self, count: int) -> Pair:
        for number in range(count):
            self._known = number
            members = [self._member(f"m{each}") for each in range(self._random.randint(1, 12))]
            self._structs[f"s{number}"] = members
        local = ["typedef unsigned int number; enum e { A = 1, B = 2, C = -3 };"]
        target = ["typedef unsigned int number; enum e { C = -3, B = 7, A = 5, D };"]
        for number, (name, members) in enumerate(self._structs.items()):
            self._known = number
            flavour = self._random.choice(("", "", "___local"))
            local.append(f"struct {name} {{ {_declared(members)} }};")
            if flavour:
                local.append(f"struct {name}{flavour} {{ {_declared(members)} }};")
            target.append(f"struct {name} {{ {self._changed(members)} }};")
        accesses = "\n".join(map(self._program, self._structs))
        kept = " ".join(f"struct {name} *keep_{name};" for name in self._structs)
        return Pair(
            '#include "core.h"\n#pragma clang attribute push '
            "(__attribute__((preserve_access_index)), apply_to = record)\n"
            + "\n".join(local) + "\n#pragma clang attribute pop\n" + accesses,
            "\n".join(target) + f"\n{kept}\nlong keep_long;\n",
        )  # fmt: skip

    def _member(self, name: str) -> Member:
        choice = self._random.random()
        if choice < 0.25:
            kind = self._random.choice(_BIT_TYPES)
            return Member(name, kind, bits=1 if kind == "_Bool" else self._random.randint(3, 8))
        kind = self._random.choice(_SCALARS)
        known = list(self._structs)[: self._known]
        if known and choice < 0.45:
            kind = f"struct {self._random.choice(known)}"
        if choice > 0.75:
            return Member(name, kind, tuple(self._random.choices((2, 3, 5), k=1 + (choice > 0.9))))
        return Member(name, kind)

    def _changed(self, members: list[Member]) -> str:
        changed, number = [], 0
        for member in self._random.sample(members, len(members)):
            match self._random.random():
                case chance if chance < 0.08:
                    continue
                case chance if chance < 0.15:
                    member = self._member(member.name)
                case chance if chance < 0.25 and member.bits:
                    member = member._replace(bits=1 if member.type == "_Bool" else member.bits + 3)
                    member = member._replace(type="unsigned long") if member.bits > 8 else member
                case chance if chance < 0.35 and member.array:
                    member = member._replace(array=tuple(each + 1 for each in member.array))
                case chance if chance < 0.45 and "unsigned" in member.type and not member.bits:
                    member = member._replace(type=self._random.choice(_SCALARS[:4]))
            number += 1
            text = member.declared()
            if self._random.random() < 0.25:
                kind = self._random.choice(("struct", "union"))
                text = f"{kind} {{ {text} {self._random.choice(_SCALARS)} n{number}; }};"
            changed.append(text)
        return " ".join([*changed, "long n0[2];"])

    def _program(self, name: str) -> str:
        lines: list[str] = []
        for member in self._structs[name]:
            path = f"p->{member.name}"
            for bound in member.array:
                path += f"[{self._random.randrange(bound)}]"
            inner = self._structs.get(member.type.removeprefix("struct "))
            if inner and "*" not in member.type and self._random.random() < 0.7:
                deeper = self._random.choice(inner)
                path += f".{deeper.name}" + "".join("[1]" for _ in deeper.array)
                member = deeper
            infos = _questions(member, path)
            lines += (f"sum += __builtin_preserve_field_info({path}, {each});" for each in infos)
            # libbpf before 1.6 compares the sizes of whole arrays where an element is loaded.
            plain = not member.bits and not member.array
            if plain and member.type not in _NO_NUMBERS and not _is_struct(member):
                lines.append(f"sum += (long){path};")
        body = "\n\t".join(lines)
        return (
            f"PROGRAM({name}_asks)\n{{\n\tstruct {name} *p = context;\n\tlong sum = 0;\n\t{body}"
            "\n\treturn sum;\n}\n"
        )


def _is_struct(member: Member) -> bool:
    return member.type.startswith("struct") and "*" not in member.type


def _questions(member: Member, path: str) -> tuple[int, ...]:
    """The field questions (enum bpf_field_info_kind) that clang takes about a member."""
    if path.endswith("]"):
        return (0, 1)
    if _is_struct(member):
        return (0, 1, 2)
    if "*" in member.type:
        return (0, 1, 2, 4, 5)
    return (0, 1, 2, 3) if member.type == "unsigned __int128" else (0, 1, 2, 3, 4, 5)


def _declared(members: list[Member]) -> str:
    return " ".join(member.declared() for member in members)
