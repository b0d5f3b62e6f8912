"""Keys and values of maps as Python values: integers by C type or size, bytes otherwise.

Nothing is ever masked, cut or filled up: what does not fit raises EncodeError.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass

STRIDE = 8  # values of per-CPU maps are rounded up to this many bytes, each

# C's integer types as clang's BTF and the assembler's .map name them: bytes, signed
_INTEGERS: dict[str, tuple[int, bool]] = {
    **{f"u{8 * size}": (size, False) for size in (1, 2, 4, 8)},
    **{f"s{8 * size}": (size, True) for size in (1, 2, 4, 8)},
    "int": (4, True),
    "unsigned int": (4, False),
    "long long": (8, True),
    "unsigned long long": (8, False),
}


@dataclass(frozen=True, slots=True)
class Plain:
    """One key or value: `what` is its name in messages ("key of map 'stats'")."""

    what: str
    size: int
    integer: bool
    signed: bool = False

    def pack(self, value: Any) -> bytearray:
        """Turn an integer, or exactly `size` bytes, into the kernel's bytes. Raises EncodeError."""
        if isinstance(value, bytes | bytearray | memoryview):
            if len(raw := bytearray(value)) != self.size:
                raise self._misfit(f"{len(raw)} bytes were given")
            return raw
        if not self.integer:
            raise self._misfit(f"{value!r} was given")
        try:
            number = operator.index(value)
        except TypeError:
            raise self._misfit(f"{value!r} was given") from None
        try:
            return bytearray(number.to_bytes(self.size, sys.byteorder, signed=self.signed))
        except OverflowError:
            raise self._misfit(f"{number} was given") from None

    def unpack(self, raw: bytes | bytearray | memoryview) -> int | bytes:
        """Turn the kernel's bytes into an integer, or bytes where the type is none."""
        if self.integer:
            return int.from_bytes(raw, sys.byteorder, signed=self.signed)
        return bytes(raw)

    def _misfit(self, given: str) -> EncodeError:
        takes = f"is {self.size} bytes"
        if self.integer:
            bits = 8 * self.size
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if self.signed else (0, 2**bits - 1)
            takes = f"is an integer from {low} to {high}, or {self.size} bytes"
        return EncodeError(error("map-value", f"the {self.what} {takes}; {given}"))


@dataclass(frozen=True, slots=True)
class PerCpu:
    """A value for each possible CPU, which Python sees as a tuple in the order of the CPUs."""

    each: Plain
    cpus: int

    @property
    def stride(self) -> int:
        """Bytes from one CPU's value to the next one's."""
        return -(-self.each.size // STRIDE) * STRIDE

    @property
    def size(self) -> int:
        """Bytes that the kernel reads and writes for one key."""
        return self.stride * self.cpus

    def pack(self, value: Any) -> bytearray:
        """Turn a sequence of one value a CPU into the kernel's bytes. Raises EncodeError."""
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
            raise self._misfit(f"{value!r} was given")
        if len(value) != self.cpus:
            raise self._misfit(f"{len(value)} were given")
        padding = bytes(self.stride - self.each.size)
        return bytearray().join(self.each.pack(one) + padding for one in value)

    def unpack(self, raw: bytes | bytearray | memoryview) -> tuple[int | bytes, ...]:
        """Turn the kernel's bytes into one value a CPU."""
        size, stride = self.each.size, self.stride
        starts = range(0, self.cpus * stride, stride)
        return tuple(self.each.unpack(raw[start : start + size]) for start in starts)

    def _misfit(self, given: str) -> EncodeError:
        message = (
            f"the {self.each.what} is a sequence of {self.cpus} values, one for each possible CPU; "
            f"{given}"
        )
        return EncodeError(error("map-value", message))


def plain(what: str, size: int, c_type: str = "") -> Plain:
    """Choose how a key or value of `size` bytes looks in Python.

    A C integer type gives integers, another named type bytes; without a name sizes 1, 2, 4
    and 8 give unsigned integers. Raises EncodeError where the type's size is not `size`.
    """
    if not c_type:
        return Plain(what, size, integer=size in (1, 2, 4, 8))
    known = _INTEGERS.get(c_type.removeprefix("__"))
    if known is None:
        return Plain(what, size, integer=False)
    if known[0] != size:
        message = f"the {what} is {size} bytes, but {c_type} has {known[0]}"
        raise EncodeError(error("map-value", message))
    return Plain(what, size, integer=True, signed=known[1])
