"""What r1 points to: the context, by program type, and what its fields give when loaded.

In xdp_md and __sk_buff the kernel rewrites loads of data, data_end and data_meta, 32-bit fields
in C, into loads of pointers; a load here does the same. Which fields can be written follows the
kernel's is_valid_access of each type (net/core/filter.c).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ebpfasm.errors import VmError, error
from ebpfasm.isa import contexts
from ebpfasm.isa.kinds import PROGRAM_TYPES

Pointer = Literal["data", "data_end", "data_meta"]

ETHERNET = 14
# Types whose data begins at the Ethernet header in a test run; the other skb types skip it.
LINK_LAYER = frozenset({"sched_cls", "sched_act", "xdp"})

_POINTERS: dict[str, dict[int, Pointer]] = {
    "xdp_md": {0: "data", 4: "data_end", 8: "data_meta"},
    "__sk_buff": {76: "data", 80: "data_end", 140: "data_meta"},
}
# offsets that may be written: (first, past the last)
_WRITABLE: dict[str, tuple[tuple[int, int], ...]] = {
    "xdp_md": (),
    # mark, queue_mapping, priority, tc_index and cb, tc_classid, tstamp
    "__sk_buff": ((8, 16), (32, 36), (44, 68), (72, 76), (152, 160)),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A context's struct: its name, its size, and which fields are more than bytes.

    `pointers` maps offsets of 32-bit fields to what loading them gives; `writable` lists what
    can be written, None where everything can.
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


def layout(program_type: str) -> Layout:
    """The context of a program type; one without a struct is as long as what is given."""
    row = PROGRAM_TYPES.find(program_type)
    name = row.context if row is not None and row.context is not None else ""
    known = contexts.struct(name) if name else None
    if known is None:
        return Layout("", 0, {}, None, False)
    pointers = _POINTERS.get(name, {})
    return Layout(name, known.size, pointers, _WRITABLE.get(name), bool(pointers))


def pack(shape: Layout, ctx: bytes | Mapping[str, int] | None) -> bytearray:
    """Make a context's bytes from fields by name, or from bytes of at most its size.

    Raises VmError where a field does not exist or a number does not fit it.
    """
    if ctx is None:
        return bytearray(shape.size)
    if isinstance(ctx, Mapping):
        raw = bytearray(shape.size)
        for name, value in ctx.items():
            _put(shape, raw, name, value)
        return raw
    if shape.size and len(ctx) > shape.size:
        message = f"the context, struct {shape.struct}, has {shape.size} bytes; got {len(ctx)}"
        raise VmError(error("vm-input", message))
    return bytearray(ctx).ljust(shape.size, b"\0") if shape.size else bytearray(ctx)


def _put(shape: Layout, raw: bytearray, name: str, value: int) -> None:
    field = contexts.field(f"{shape.struct}.{name}") if shape.struct else None
    if field is None:
        owner = f"struct {shape.struct}" if shape.struct else "this program type's context"
        hint = None if shape.struct else "give the context as bytes"
        raise VmError(error("vm-input", f"{owner} has no field {name!r}", hint=hint))
    order: Literal["little", "big"] = "big" if field.type.startswith("be") else sys.byteorder
    try:
        signed = field.type.startswith("s")
        content = int(value).to_bytes(field.size, order, signed=signed and value < 0)
    except (OverflowError, TypeError, ValueError):
        bits = 8 * field.size
        message = f"{shape.struct}.{name} holds {bits} bits; {value!r} was given"
        raise VmError(error("vm-input", message)) from None
    raw[field.offset : field.offset + field.size] = content
