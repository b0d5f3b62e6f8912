"""Helpers that copy memory and read strings and numbers."""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import PLACE

_SPACES = b" \t\n\v\f\r"
_SIGNED, _UNSIGNED = (-(1 << 63), (1 << 63) - 1), (0, (1 << 64) - 1)


@helper("probe_read", "probe_read_user", "copy_from_user")
def probe_read(machine: Machine, to: int, size: int, source: int) -> int:
    """Copy memory of the world; where there is none, write zeros and say EFAULT."""
    return _copy(machine, to, size & U32, source, -errno.EFAULT)


@helper("probe_read_kernel")
def probe_read_kernel(machine: Machine, to: int, size: int, source: int) -> int:
    """The same; an address that could be user space's is ERANGE."""
    return _copy(machine, to, size & U32, source, _kernel_fault(source))


def _kernel_fault(source: int) -> int:
    return -errno.EFAULT if source >> PLACE else -errno.ERANGE


def _copy(machine: Machine, to: int, size: int, source: int, otherwise: int) -> int:
    view = machine.memory.view(to, size, write=True)
    try:
        content = machine.memory.read(source, size)
    except Fault:
        view[:] = bytes(size)
        return otherwise
    view[:] = content
    return 0


@helper("probe_read_str", "probe_read_user_str")
def probe_read_str(machine: Machine, to: int, size: int, source: int) -> int:
    """Copy a string with its zero byte, cut to fit; return its length with the zero byte."""
    return _copy_text(machine, to, size & U32, source, -errno.EFAULT)


@helper("probe_read_kernel_str")
def probe_read_kernel_str(machine: Machine, to: int, size: int, source: int) -> int:
    """The same; an address that could be user space's is ERANGE."""
    return _copy_text(machine, to, size & U32, source, _kernel_fault(source))


def _copy_text(machine: Machine, to: int, size: int, source: int, otherwise: int) -> int:
    view = machine.memory.view(to, size, write=True)
    if not size:
        return 0
    try:
        content = machine.memory.text(source, size - 1) + b"\0"
    except Fault:
        view[:] = bytes(size)
        return otherwise
    view[: len(content)] = content
    return len(content)


@helper("strncmp")
def strncmp(machine: Machine, first: int, size: int, second: int) -> int:
    """Compare at most `size` bytes of two strings."""
    for offset in range(size & U32):
        a = machine.memory.view(first + offset, 1)[0]
        b = machine.memory.view(second + offset, 1)[0]
        if a != b or not a:
            return a - b
    return 0


@helper("strtol")
def strtol(machine: Machine, buffer: int, size: int, flags: int, result: int) -> int:
    """Read a signed number; return how many characters it had."""
    return _number(machine, buffer, size, flags, result, signed=True)


@helper("strtoul")
def strtoul(machine: Machine, buffer: int, size: int, flags: int, result: int) -> int:
    """Read an unsigned number; return how many characters it had."""
    return _number(machine, buffer, size, flags, result, signed=False)


def _number(
    machine: Machine, buffer: int, size: int, flags: int, result: int, *, signed: bool
) -> int:
    view = machine.memory.view(result, 8, write=True)
    text = machine.memory.read(buffer, size)
    if not size or flags not in (0, 8, 10, 16):
        return -errno.EINVAL
    parsed = _parse(text.split(b"\0", 1)[0], flags)
    if isinstance(parsed, int):
        return parsed
    negative, value, used = parsed
    if negative and not signed:
        return -errno.EINVAL
    value = -value if negative else value
    low, high = _SIGNED if signed else _UNSIGNED
    if not low <= value <= high:
        return -errno.ERANGE
    view[:] = value.to_bytes(8, sys.byteorder, signed=signed)
    return used


def _parse(text: bytes, base: int) -> tuple[bool, int, int] | int:
    """(negative, number, characters), or an errno, as lib/kstrtox.c reads them."""
    rest = text.lstrip(_SPACES)
    negative = rest.startswith(b"-")
    rest = rest[negative:]
    if base in (0, 16) and rest[:2].lower() == b"0x" and _digit(rest[2:3]) < 16:
        base, rest = 16, rest[2:]
    elif base == 0:
        base = 8 if rest[:1] == b"0" else 10
    digits = 0
    value = 0
    while digits < len(rest) and _digit(rest[digits : digits + 1]) < base:
        value = value * base + _digit(rest[digits : digits + 1])
        digits += 1
    if not digits:
        return -errno.EINVAL
    if value >= 1 << 64:
        return -errno.ERANGE
    return negative, value, len(text) - len(rest) + digits


def _digit(character: bytes) -> int:
    try:
        return int(character, 36)
    except ValueError:
        return 99
