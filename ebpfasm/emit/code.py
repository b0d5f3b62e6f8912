"""A linked program as the kernel's bytes, and the slots that only a loader can fill."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ebpfasm.errors import Diagnostic, EncodeError, LinkError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import LinkedProgram, link
from ebpfasm.ir.packed import Packed
from ebpfasm.ir.references import (
    CoreRef,
    FunctionRef,
    KfuncRef,
    KsymRef,
    LabelRef,
    MapRef,
    Reference,
    VarRef,
)
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder


@dataclass(frozen=True, slots=True)
class Relocation:
    """A slot whose immediate is still to be filled: what stands there, by name.

    For a 64-bit immediate the slot is its first one. What the immediate holds already is an
    addend, almost always 0.
    """

    slot: int
    ref: Reference


@dataclass(frozen=True, slots=True)
class Image:
    """A program's bytes and what is still to be filled in, in the order of the slots."""

    code: bytes
    relocations: tuple[Relocation, ...]
    byteorder: ByteOrder = "little"


def image(linked: LinkedProgram, *, byteorder: ByteOrder = "little") -> Image:
    """Encode a linked program and list the references that are left in it.

    Maps, variables and kernel symbols get their numbers where the program is loaded; here
    their immediates are 0. Raises EncodeError with a diagnostic, at the instruction's place,
    for each value that does not fit its field; LinkError where a label or function is left,
    which `ir.link` leaves none of.
    """
    if isinstance(linked.instructions, Packed) and byteorder == "little":
        return _packed_image(linked.instructions)
    chunks: list[bytes] = []
    relocations: list[Relocation] = []
    wrong: list[Diagnostic] = []
    slot = 0
    for each in linked.instructions:
        if each.ref is not None:
            relocations.append(Relocation(slot, _loadable(each, each.ref)))
        try:
            # Spelled out: unpacking each.fields would double the time of the whole loop.
            chunks.append(
                codec.encode(each.spec, each.dst, each.src, each.off, each.imm, byteorder=byteorder)
            )
        except EncodeError as refused:
            wrong += [replace(diagnostic, span=each.span) for diagnostic in refused.diagnostics]
        slot += each.slots
    if wrong:
        raise EncodeError(*wrong)
    return Image(b"".join(chunks), tuple(relocations), byteorder)


def _packed_image(packed: Packed) -> Image:
    found = [
        Relocation(packed.slots[index], _loadable(packed[index], ref))
        for index, ref in sorted(packed.refs.items())
    ]
    return Image(packed.code, tuple(found))


def encode(program: ProgramSpec, *, byteorder: ByteOrder = "little") -> bytes:
    """Link and encode a program. Raises LinkError and EncodeError; never masks a value."""
    return image(link(program), byteorder=byteorder).code


def _loadable(each: Instruction, ref: Reference) -> Reference:
    match ref:
        case MapRef() | VarRef() | KfuncRef() | KsymRef() | CoreRef():
            return ref
        case LabelRef(name=name) | FunctionRef(name=name):
            raise LinkError(error("link-unresolved", f"{name!r} is not linked yet", each.span))
        case _:
            assert_never(ref)
