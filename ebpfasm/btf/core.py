"""CO-RE: what a program's relocations amount to in the types that it will run on.

A program was compiled against its own description of the kernel's structs, and says for each
access which member it meant. Here each of them is looked up, by names, in the target's BTF: the
running kernel's, or that of any file. The rules are libbpf's (relo_core.c), so that an object means
the same to both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ebpfasm.btf.core_match import essential, types_are_compatible, types_match
from ebpfasm.btf.core_path import (
    Missing,
    Path,
    Walker,
    dotted,
    joined,
    local_path,
    malformed,
    numbers,
)
from ebpfasm.btf.core_value import (
    CoreKind,
    Side,
    Value,
    enumerator_value,
    field_value,
    safely_resized,
    type_value,
)
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.naming import named
from ebpfasm.btf.resolve import plain
from ebpfasm.btf.types import AnyEnum, BtfType, Enum, Enum64, Types
from ebpfasm.errors import BtfError, error
from ebpfasm.frozen import dataclass


class Candidate(NamedTuple):
    """A type of the target that may be meant: its BTF (vmlinux' or a module's) and id."""

    types: BtfIndex
    id: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to one relocation.

    `what` is the question in words, as in `the offset of struct sock.sk_mark`. `value` is None
    where the target has nothing of the kind, and `missing` says what it lacks; then the
    instruction must never be reached. `original` is what the compiler put there. `resizable`: a
    load or store may be given the size that the value has. `candidates` are the types that agree
    on it.
    """

    kind: CoreKind
    what: str
    original: Value
    value: Value | None
    missing: str = ""
    resizable: bool = True
    candidates: tuple[Candidate, ...] = ()


class Resolver:
    """Resolves the relocations of one object, in which a type means the same everywhere.

    `local` has the object's types, `target` those that it will run on; `modules` is asked for the
    modules' types where `target` has no type of a name. `where` names the target in messages.
    """

    def __init__(
        self,
        local: Types,
        target: BtfIndex,
        modules: Callable[[], Iterable[BtfIndex]] = tuple,
        *,
        where: str = "the kernel",
    ) -> None:
        self._local = Side(local)
        self._target, self._modules, self._where = target, modules, where
        self._candidates: dict[int, Sequence[Candidate]] = {}
        self._known: dict[tuple[int, str, int], Resolution] = {}

    def resolve(self, type_id: int, access: str, kind: int) -> Resolution:
        """Answer a relocation: a root type, an access string such as "0:1:2" and a CoreKind.

        Raises BtfError where the record makes no sense (core-record) or the target's types give
        different answers (core-ambiguous).
        """
        key = type_id, access, kind
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._resolve(type_id, access, kind)
        return known

    def _resolve(self, type_id: int, access: str, number: int) -> Resolution:
        try:
            kind = CoreKind(number)
        except ValueError:
            raise malformed(f"there is no CO-RE relocation of kind {number}") from None
        local = self._local.types.get(type_id)
        if local is None:
            raise malformed("a CO-RE relocation is about void")
        question = self._question(type_id, local, access, kind)
        if kind is CoreKind.TYPE_ID_LOCAL:
            return Resolution(kind, question.what, question.original, question.original)
        if not getattr(local, "name", ""):
            raise malformed(f"type {type_id} has no name to be looked up by")
        return self._answered(question)

    def _question(self, root: int, local: BtfType, access: str, kind: CoreKind) -> _Question:
        side, name = self._local, named(local)
        if kind.is_field:
            path = local_path(side.types, root, access)
            what = f"{_WORDS[kind]} {name}{joined(dotted(path.steps))}"
            return _FieldQuestion(side, root, kind, what, field_value(side, kind, path), path)
        if kind.is_enumerator:
            enumeration, each = plain(side.types, root)
            index = numbers(access)
            if not isinstance(each, AnyEnum) or len(index) > 1 or index[0] >= len(each.values):
                raise malformed(f"{name} has no enumerator {access}")
            value = enumerator_value(side, kind, enumeration, index[0])
            enumerator = each.values[index[0]].name
            what = f"{_WORDS[kind]} {name}'s {enumerator}"
            return _EnumQuestion(side, root, kind, what, value, enumerator)
        if access != "0":
            raise malformed(f"a relocation about a type has the access path {access!r}, not 0")
        what = f"{_WORDS[kind]} {name}"
        return _TypeQuestion(side, root, kind, what, type_value(side, kind, root))

    def _answered(self, question: _Question) -> Resolution:
        """What all candidates that have an answer agree on; the others are out from then on."""
        candidates = self._candidates_for(question.root)
        answers: list[tuple[Candidate, _Answer]] = []
        reasons: list[str] = []
        for candidate in candidates:
            found = question.asked(candidate)
            if isinstance(found, Missing):
                reasons.append(found.reason)
                continue
            if answers and not answers[0][1].agrees(found):
                raise self._ambiguous(question, answers[0], (candidate, found))
            answers.append((candidate, found))
        if not answers:
            return self._unanswered(question, reasons)
        agreed = tuple(candidate for candidate, _ in answers)
        self._candidates[question.root] = agreed
        value = answers[0][1].value
        theirs = _side_of(agreed[0].types)
        resizable = safely_resized(question.side, question.original, theirs, value)
        return Resolution(
            question.kind, question.what, question.original, value, "", resizable, agreed
        )

    def _unanswered(self, question: _Question, reasons: list[str]) -> Resolution:
        local = self._local.types.get(question.root)
        assert local is not None
        if reasons:
            missing = f"in {self._where}, {reasons[0]}"
        else:
            missing = f"{self._where} has no {essential(named(local))}"
        value = None if question.kind.needs_target else Value(0)
        return Resolution(question.kind, question.what, question.original, value, missing)

    def _candidates_for(self, root: int) -> Sequence[Candidate]:
        found = self._candidates.get(root)
        if found is None:
            found = self._candidates[root] = self._search(root)
        return found

    def _search(self, root: int) -> Sequence[Candidate]:
        local = self._local.types.get(root)
        assert local is not None
        kinds = (Enum, Enum64) if isinstance(local, AnyEnum) else (type(local),)
        name = getattr(local, "name", "")
        found = [Candidate(self._target, each) for each in self._target.candidates(kinds, name)]
        if found:
            return found
        return [
            Candidate(module, each)
            for module in self._modules()
            for each in module.candidates(kinds, name)
        ]

    def _ambiguous(
        self,
        question: _Question,
        first: tuple[Candidate, _Answer],
        other: tuple[Candidate, _Answer],
    ) -> BtfError:
        told = [
            f"{answer.value.number} in type {candidate.id}" for candidate, answer in (first, other)
        ]
        name = named(self._local.types.get(question.root) or Enum("", 0, ()))
        message = f"{question.what} is not certain: {self._where} has several of that name"
        hint = f"it is {told[0]}, and {told[1]}; {name} may describe one of them more closely"
        return BtfError(error("core-ambiguous", message, hint=hint))


_WORDS = {
    CoreKind.FIELD_BYTE_OFFSET: "the offset of",
    CoreKind.FIELD_BYTE_SIZE: "the size of",
    CoreKind.FIELD_EXISTS: "whether there is",
    CoreKind.FIELD_SIGNED: "the signedness of",
    CoreKind.FIELD_LSHIFT_U64: "the left shift for",
    CoreKind.FIELD_RSHIFT_U64: "the right shift for",
    CoreKind.TYPE_ID_LOCAL: "the program's own id of",
    CoreKind.TYPE_ID_TARGET: "the id of",
    CoreKind.TYPE_EXISTS: "whether there is",
    CoreKind.TYPE_SIZE: "the size of",
    CoreKind.ENUMVAL_EXISTS: "whether there is",
    CoreKind.ENUMVAL_VALUE: "the value of",
    CoreKind.TYPE_MATCHES: "whether there is a match for",
}


class _Answer(NamedTuple):
    value: Value
    bits: int = 0

    def agrees(self, other: _Answer) -> bool:
        return (self.bits, self.value.number) == (other.bits, other.value.number)


@dataclass(frozen=True, slots=True)
class _TypeQuestion:
    side: Side
    root: int
    kind: CoreKind
    what: str
    original: Value

    def asked(self, candidate: Candidate) -> _Answer | Missing:
        types, target, found = self.side.types, *candidate
        alike = types_match if self.kind is CoreKind.TYPE_MATCHES else types_are_compatible
        if not alike(types, self.root, target, found):
            each = types.get(self.root)
            assert each is not None
            return Missing(f"{named(each)} is another type")
        return _Answer(type_value(_side_of(target), self.kind, found))


@dataclass(frozen=True, slots=True)
class _FieldQuestion:
    side: Side
    root: int
    kind: CoreKind
    what: str
    original: Value
    path: Path

    def asked(self, candidate: Candidate) -> _Answer | Missing:
        target = _side_of(candidate.types)
        walker = Walker(self.side.types, candidate.types, target.pointer)
        found = walker.follow(self.path, candidate.id)
        if isinstance(found, Missing):
            return found
        return _Answer(field_value(target, self.kind, found), found.bits)


@dataclass(frozen=True, slots=True)
class _EnumQuestion:
    side: Side
    root: int
    kind: CoreKind
    what: str
    original: Value
    name: str

    def asked(self, candidate: Candidate) -> _Answer | Missing:
        enumeration, each = plain(candidate.types, candidate.id)
        if not isinstance(each, AnyEnum):
            return Missing("it is no enumeration")
        wanted = essential(self.name)
        for index, value in enumerate(each.values):
            if essential(value.name) == wanted:
                target = _side_of(candidate.types)
                return _Answer(enumerator_value(target, self.kind, enumeration, index))
        return Missing(f"{named(each)} has no {wanted}")


_Question = _TypeQuestion | _FieldQuestion | _EnumQuestion


def _side_of(types: BtfIndex) -> Side:
    return Side(types, types.pointer_size, types.byteorder)
