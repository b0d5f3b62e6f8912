"""What r1 points to: the context, by program type, and what its fields give when loaded.

In xdp_md and __sk_buff the kernel rewrites loads of data, data_end and data_meta, 32-bit fields
in C, into loads of pointers; elsewhere fields of pointers have 64 bits. A load here does the
same. Which fields can be written stands in ebpfasm.isa.context_access.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ebpfasm.analysis.vm.objects import put_field
from ebpfasm.errors import VmError, error
from ebpfasm.isa import contexts
from ebpfasm.isa.context_access import writable_ranges
from ebpfasm.isa.kinds import PROGRAM_TYPES

ETHERNET = 14
# Types whose data begins at the Ethernet header in a test run; the other skb types skip it.
LINK_LAYER = frozenset({"sched_cls", "sched_act", "xdp", "flow_dissector"})

U64 = (1 << 64) - 1

# Bytes, fields by name, or the arguments of a program that has them; objects stand for addresses.
Context = bytes | Mapping[str, Any] | tuple[Any, ...]

_NARROW = frozenset({"xdp_md", "__sk_buff"})  # structs with 32-bit fields that are pointers
_PLACES = ("data", "data_end", "data_meta")


class Pointer(NamedTuple):
    """A field that is a pointer: what it points to, and its bytes.

    An "object" lies in the context as an address; the others are places in the packet.
    """

    to: Literal["data", "data_end", "data_meta", "object"]
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A context's struct: its name, its size, and which fields are more than bytes.

    `pointers` are fields by offset; `writable` lists what can be written, None where everything
    can. `packet` says whether it leads to a packet, message or value.
    """

    struct: str
    size: int
    pointers: Mapping[int, Pointer]
    writable: tuple[tuple[int, int], ...] | None
    packet: bool

    def may_write(self, offset: int, length: int) -> bool:
        """Whether a store lies in a field that can be written."""
        if self.writable is None:
            return True
        return any(low <= offset and offset + length <= high for low, high in self.writable)


def layout(program_type: str, attach_type: str = "") -> Layout:
    """The context of a program type; one without a struct is as long as what is given."""
    row = PROGRAM_TYPES.find(program_type)
    name = row.context if row is not None and row.context is not None else ""
    known = contexts.struct(name) if name else None
    writable = writable_ranges(program_type, attach_type, name)
    if known is None:
        return Layout("", 0, {}, writable, False)
    pointers = {each.offset: found for each in known.fields if (found := _pointer(name, each))}
    packet = any(each.to == "data" for each in pointers.values())
    return Layout(name, known.size, pointers, writable, packet)


def _pointer(owner: str, field: contexts.ContextField) -> Pointer | None:
    if owner in _NARROW and field.name in _PLACES:
        return Pointer(field.name, 4)  # type: ignore[arg-type]
    if not field.is_pointer:
        return None
    if field.type != "void *":
        return Pointer("object", 8)
    return Pointer("data_end" if field.name.endswith("_end") else "data", 8)


def name_at(owner: str, offset: int) -> str:
    """The field at an offset, for people."""
    known = contexts.struct(owner)
    fields = known.fields if known is not None else ()
    return next((each.name for each in fields if each.offset == offset), str(offset))


def pack(shape: Layout, ctx: Context | None) -> bytearray:
    """Make a context's bytes: from fields by name, from 64-bit arguments, or from bytes.

    Raises VmError where a field does not exist or a number does not fit it.
    """
    if ctx is None:
        return bytearray(shape.size)
    if isinstance(ctx, tuple):
        try:
            return bytearray(struct.pack(f"={len(ctx)}Q", *(each & U64 for each in ctx)))
        except TypeError:
            raise VmError(error("vm-input", f"the arguments {ctx!r} are not numbers")) from None
    if isinstance(ctx, Mapping):
        raw = bytearray(shape.size)
        for name, value in ctx.items():
            _put(shape, raw, name, value)
        return raw
    if shape.size and len(ctx) > shape.size:
        message = f"the context, struct {shape.struct}, has {shape.size} bytes; got {len(ctx)}"
        raise VmError(error("vm-input", message))
    return bytearray(ctx).ljust(shape.size, b"\0") if shape.size else bytearray(ctx)


def _put(shape: Layout, raw: bytearray, name: str, value: Any) -> None:
    if not shape.struct:
        message = f"this program type's context has no field {name!r}"
        hint = "give the context as bytes, or as a tuple of 64-bit arguments"
        raise VmError(error("vm-input", message, hint=hint))
    put_field(raw, shape.struct, name, value)
