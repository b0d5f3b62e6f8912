"""Helpers that print: the kernel's format strings, as kernel/trace/bpf_trace.c takes them."""

from __future__ import annotations

import re
import socket
import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine

# %, flags and width, length, conversion; %p may be followed by what kind of pointer it is
_FORMAT = re.compile(rb"%(?:%|([-+ 0]*)([0-9]*)(l{0,2})(p[iI][46]|p[KxsSB]?|k?s|us|[diuxXc]))")


@helper("trace_printk")
def trace_printk(machine: Machine, format: int, size: int, *values: int) -> int:
    """Print up to three values; the world keeps the line."""
    template = template_at(machine, format, size & U32)
    text = format_text(machine, template, list(values))
    if text is None:
        return -errno.EINVAL
    machine.world.print(text.decode("utf-8", "replace"))
    return len(text)


@helper("trace_vprintk")
def trace_vprintk(machine: Machine, format: int, size: int, data: int, length: int) -> int:
    """Print values from an array; the world keeps the line."""
    template = template_at(machine, format, size & U32)
    text = format_text(machine, template, values_at(machine, data, length & U32))
    if text is None:
        return -errno.EINVAL
    machine.world.print(text.decode("utf-8", "replace"))
    return len(text)


@helper("snprintf")
def snprintf(machine: Machine, to: int, size: int, format: int, data: int, length: int) -> int:
    """Write values into a buffer; return the length that was needed, with the zero byte."""
    size &= U32
    view = machine.memory.view(to, size, write=True) if size else None
    text = format_text(machine, machine.memory.text(format), values_at(machine, data, length & U32))
    if text is None:
        return -errno.EINVAL
    if view is not None:
        shown = text[: size - 1] + b"\0"
        view[: len(shown)] = shown
    return len(text) + 1


def template_at(machine: Machine, address: int, size: int) -> bytes:
    """A format that has so many bytes, up to its zero byte."""
    return machine.memory.read(address, size).split(b"\0", 1)[0]


def values_at(machine: Machine, data: int, length: int) -> list[int]:
    """The numbers of an array. Raises Fault where its length is no multiple of 8."""
    if length % 8:
        raise Fault("vm-helper", f"gives {length} bytes of values, which is no multiple of 8")
    raw = machine.memory.read(data, length) if length else b""
    return [int.from_bytes(raw[at : at + 8], sys.byteorder) for at in range(0, length, 8)]


def format_text(machine: Machine, template: bytes, values: list[int]) -> bytes | None:
    """The text, None where the format is not one that the kernel takes."""
    found = bytearray()
    place = 0
    remaining = iter(values)
    while (percent := template.find(b"%", place)) >= 0:
        found += template[place:percent]
        match = _FORMAT.match(template, percent)
        if match is None:
            return None
        place = match.end()
        if match[0] == b"%%":
            found += b"%"
            continue
        value = next(remaining, None)
        if value is None:
            return None
        found += _one(machine, match, value)
    return bytes(found + template[place:])


def _one(machine: Machine, match: re.Match[bytes], value: int) -> bytes:
    flags, width, length, kind = (part.decode() for part in match.groups())
    if kind in ("s", "ks", "us"):
        return _string(machine, value).rjust(int(width or 0))
    if kind[0] == "p":
        return _pointer(machine, kind, value)
    if kind == "c":
        return bytes([value & 0xFF])
    bits = 64 if length else 32
    value &= (1 << bits) - 1
    if kind in "di":
        value = (value ^ 1 << bits - 1) - (1 << bits - 1)
    conversion = kind if kind in "xX" else "d"
    return f"%{flags}{width}{conversion}".encode() % value


def _string(machine: Machine, address: int) -> bytes:
    try:
        return machine.memory.text(address)
    except Fault:
        return b""


def _pointer(machine: Machine, kind: str, value: int) -> bytes:
    if kind[1:] not in ("i4", "I4", "i6", "I6"):
        return b"%016x" % value
    family, size = (socket.AF_INET, 4) if kind[2] == "4" else (socket.AF_INET6, 16)
    raw = machine.memory.read(value, size)
    if kind == "pi4":
        return b".".join(b"%03d" % byte for byte in raw)
    if kind == "pi6":
        return raw.hex().encode()
    return socket.inet_ntop(family, raw).encode()
