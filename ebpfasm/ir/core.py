"""CO-RE at the instruction: what a relocation's answer makes of a load, a store or a constant.

An instruction that asks for something the target has not becomes a call of a helper that does not
exist, libbpf's marker: the verifier takes it where no path reaches it, as behind
bpf_core_field_exists, and refuses it elsewhere. `Resolved.poisons` says then what was missing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ebpfasm.btf.core import Resolution, Resolver
from ebpfasm.btf.core_value import CoreKind, Value
from ebpfasm.errors import BtfError, Diagnostic, LinkError, Location, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Instruction, Item
from ebpfasm.ir.lifted import Lifted
from ebpfasm.ir.packed import Packed
from ebpfasm.ir.references import CoreRef, Reference
from ebpfasm.ir.specs import ProgramSpec, references_of
from ebpfasm.isa import codec
from ebpfasm.isa.codec import SLOT
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME, BY_SHAPE

# The helper that a poisoned instruction calls, as libbpf writes it: 0xbad2310, "bad relo".
POISON = 195896080

_CALL = BY_NAME["call_helper"]
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1
_MOST_OFFSET = (1 << 15) - 1


@dataclass(frozen=True, slots=True)
class Resolved:
    """A program without CO-RE references, and what its poisoned instructions miss.

    `poisons` has them by function and slot in it.
    """

    program: ProgramSpec
    poisons: Mapping[tuple[str, int], str]


def resolve_core(program: ProgramSpec, resolver: Resolver) -> Resolved:
    """Put the target's answers into a program's instructions.

    The programs of one object share a resolver, so that a type means the same in all of them.
    Raises LinkError with a diagnostic for each relocation that cannot be resolved.
    """
    work = _Work(program, resolver)
    instructions = work.stream(program.name, program.instructions)
    functions = tuple(
        each
        if (items := work.stream(each.name, each.instructions)) is each.instructions
        else replace(each, instructions=items)
        for each in program.functions
    )
    if work.wrong:
        raise LinkError(*work.wrong)
    if not work.found:
        return Resolved(program, {})
    resolved = replace(program, instructions=instructions, functions=functions)
    return Resolved(resolved, work.poisons)


class _Work:
    """One program on its way."""

    def __init__(self, program: ProgramSpec, resolver: Resolver) -> None:
        self.program, self.resolver = program, resolver
        self.wrong: list[Diagnostic] = []
        self.poisons: dict[tuple[str, int], str] = {}
        self.found = False

    def stream(self, name: str, items: Sequence[Item]) -> Sequence[Item]:
        """The items of a function with their answers; the same ones where nothing is asked."""
        if not any(isinstance(ref, CoreRef) for ref in references_of(items)):
            return items
        self.found = True
        if isinstance(items, Lifted):
            return Lifted(self._packed(name, items.body), items.landings)
        return tuple(self._items(name, items))

    def _items(self, name: str, items: Sequence[Item]) -> Iterator[Item]:
        slot = 0
        for each in items:
            if isinstance(each, Instruction):
                yield from self._one(name, slot, each)
                slot += each.slots
            else:
                yield each

    def _packed(self, name: str, body: Packed) -> Packed:
        code, refs, split = bytearray(body.code), dict[int, Reference](), list[int]()
        for index, ref in sorted(body.refs.items()):
            if not isinstance(ref, CoreRef):
                refs[index + len(split)] = ref
                continue
            slot = body.slots[index]
            patched = self._one(name, slot, body[index])
            code[slot * SLOT : (slot + sum(each.slots for each in patched)) * SLOT] = b"".join(
                codec.encode(*each.fields) for each in patched
            )
            if len(patched) > 1:
                split.append(slot + 1)
        slots = array("I", sorted([*body.slots, *split])) if split else body.slots
        return replace(body, code=bytes(code), slots=slots, refs=refs)

    def _one(self, name: str, slot: int, each: Instruction) -> tuple[Instruction, ...]:
        ref = each.ref
        if not isinstance(ref, CoreRef):
            return (each,)
        try:
            resolution = self.resolver.resolve(ref.type_id, ref.access, ref.kind)
            missing = lacking(each, resolution)
            if not missing:
                return (patched(each, resolution),)
        except (BtfError, LinkError) as problem:
            self.wrong += self._placed(problem.diagnostics, each.span)
            return (replace(each, ref=None),)
        self.poisons |= {(name, slot + part): missing for part in range(each.slots)}
        return (Instruction(_CALL, imm=POISON, span=each.span),) * each.slots

    def _placed(
        self, diagnostics: Sequence[Diagnostic], span: Location | None
    ) -> Iterator[Diagnostic]:
        for each in diagnostics:
            message = f"program {self.program.name!r}: {each.message}"
            yield replace(each, message=message, span=span)


def lacking(each: Instruction, resolution: Resolution) -> str:
    """Why the instruction must never be reached; empty where it may."""
    if resolution.value is None:
        return resolution.missing
    if resolution.resizable or _field_of(each) != "off":
        return ""
    sizes = resolution.value.size, resolution.original.size
    place = resolution.what.removeprefix("the offset of ")
    return (
        f"{place} has {sizes[0]} bytes and the program takes it for {sizes[1]}: only unsigned "
        "numbers and pointers can be read so"
    )


def patched(each: Instruction, resolution: Resolution) -> Instruction:
    """The instruction with the target's answer in it. Raises LinkError where it does not fit."""
    value, original = resolution.value, resolution.original
    assert value is not None
    number = value.number
    field = _field_of(each)
    if field is None:
        raise _misplaced(each, f"{each.spec.name} has no place for {resolution.what}")
    held = each.off if field == "off" else each.imm
    if resolution.kind is CoreKind.ENUMVAL_VALUE and held == original.number & _U32:
        # An enumeration of large unsigned values, which libbpf takes for negative ones.
        original, number = original._replace(number=held), _unsigned(number)
    if original.exact and held & _U64 != original.number:
        message = f"the instruction holds {held}, and {resolution.what} was {original.number}"
        raise _misplaced(each, message)
    if field == "off":
        if number > _MOST_OFFSET:
            message = f"{resolution.what}, {number}, does not fit: {_MOST_OFFSET} is the most"
            raise _misplaced(each, message)
        return replace(_resized(each, original, value), off=number, ref=None)
    signed = (number + (1 << 63) & _U64) - (1 << 63)
    if each.spec.form is Form.LOAD_IMM64:
        return replace(each, imm=signed, ref=None)
    if not -(1 << 31) <= signed < 1 << 32:
        raise _misplaced(each, f"{resolution.what}, {number}, does not fit 32 bits")
    return replace(each, imm=signed - (1 << 32) if signed >> 31 == 1 else signed, ref=None)


def _unsigned(number: int) -> int:
    """A number of 32 bits that was extended by its sign, without that."""
    return number & _U32 if number >> 31 == _U64 >> 31 else number


def _field_of(each: Instruction) -> str | None:
    """Where an instruction holds what a relocation is about."""
    form = each.spec.form
    if form in (Form.ALU_IMM, Form.MOV_IMM, Form.LOAD_IMM64):
        return "imm"
    return "off" if form.base and form.operand("off") is not None else None


def _resized(each: Instruction, original: Value, value: Value) -> Instruction:
    """The same load or store of the size that the target's member has."""
    if value.size == original.size:
        return each
    if each.spec.width != 8 * original.size:
        message = (
            f"the instruction accesses {each.spec.width // 8} bytes of a member that has "
            f"{original.size}, and {value.size} in the target"
        )
        raise _misplaced(each, message)
    spec = BY_SHAPE.get((each.spec.form, each.spec.op, 8 * value.size))
    if spec is None:
        raise _misplaced(each, f"no such access has {value.size} bytes")
    return replace(each, spec=spec)


def _misplaced(each: Instruction, message: str) -> LinkError:
    return LinkError(error("core-record", message, each.span))
