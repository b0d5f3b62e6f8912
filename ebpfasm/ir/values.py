"""Keys and values of maps as Python values: typed by BTF, else by C type name or size.

Nothing is ever masked, cut or filled up: what does not fit raises EncodeError.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.given import memory_of, raw_of, scalar_of

if TYPE_CHECKING:
    import numpy as np


STRIDE = 8  # values of per-CPU maps are rounded up to this many bytes, each

Buffer = bytes | bytearray | memoryview

# C's integer types as clang's BTF and the assembler's .map name them: bytes, signed
_INTEGERS: dict[str, tuple[int, bool]] = {
    **{f"u{8 * size}": (size, False) for size in (1, 2, 4, 8)},
    **{f"s{8 * size}": (size, True) for size in (1, 2, 4, 8)},
    "int": (4, True),
    "unsigned int": (4, False),
    "long long": (8, True),
    "unsigned long long": (8, False),
}

_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


class Codec(Protocol):
    """How a key or value looks in Python: `what` is its name in messages, `size` its bytes."""

    @property
    def what(self) -> str:
        """Its name in messages ("key of map 'stats'")."""

    @property
    def size(self) -> int:
        """Bytes that the kernel reads and writes."""

    @property
    def integer(self) -> bool:
        """Whether it is a plain integer of `size` bytes."""

    @property
    def signed(self) -> bool:
        """Whether that integer has a sign."""

    def pack(self, value: Any) -> bytes | bytearray:
        """Turn a value into the kernel's bytes. Raises EncodeError."""

    def unpack(self, raw: Buffer) -> Any:
        """Turn the kernel's bytes into a value, which owns no part of `raw`."""

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` values, each `stride` bytes behind the one before, into a list."""

    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of one, of a per-CPU value that of each CPU's."""


@dataclass(frozen=True, slots=True)
class Plain:
    """An integer, or so many bytes: `what` is its name in messages ("key of map 'stats'")."""

    what: str
    size: int
    integer: bool
    signed: bool = False

    def pack(self, value: Any) -> bytes | bytearray:
        """Turn an integer, or exactly `size` bytes, into the kernel's bytes. Raises EncodeError.

        Where no integer is meant, ctypes and numpy values of the right size are taken too.
        """
        if type(value) is int and self.integer:
            return self._number(value)
        if type(value) is bytes and len(value) == self.size:
            return value
        raw = raw_of(value) if self.integer else memory_of(value)
        if raw is not None:
            if raw.nbytes != self.size:
                raise self._misfit(f"{raw.nbytes} bytes were given")
            return bytes(raw)
        if not self.integer:
            raise self._misfit(f"{value!r} was given")
        try:
            number = operator.index(scalar_of(value))
        except TypeError:
            raise self._misfit(f"{value!r} was given") from None
        return self._number(number)

    def _number(self, number: int) -> bytes:
        try:
            return number.to_bytes(self.size, sys.byteorder, signed=self.signed)
        except OverflowError:
            raise self._misfit(f"{number} was given") from None

    def unpack(self, raw: Buffer) -> int | bytes:
        """Turn the kernel's bytes into an integer, or bytes where the type is none."""
        if self.integer:
            return int.from_bytes(raw, sys.byteorder, signed=self.signed)
        return bytes(raw)

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` values, each `stride` bytes behind the one before, into a list."""
        view = memoryview(raw).cast("B")[: count * stride]
        if self.integer and stride % self.size == 0:
            numbers: list[Any] = view.cast(self.code)[:: stride // self.size].tolist()  # type: ignore[call-overload]
            return numbers
        unpack, size = self.unpack, self.size
        return [unpack(view[at : at + size]) for at in range(0, count * stride, stride)]

    @property
    def code(self) -> str:
        """The letter that `struct` and memoryview have for the integer."""
        code = _CODES[self.size]
        return code if self.signed else code.upper()

    def dtype(self) -> np.dtype[Any]:
        """An integer's dtype, else bytes without a meaning."""
        import numpy as np

        kind = ("i" if self.signed else "u") if self.integer else "V"
        return np.dtype(f"{kind}{self.size}")

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

    each: Codec
    cpus: int

    integer = signed = False

    @property
    def what(self) -> str:
        """Its name in messages."""
        return self.each.what

    @property
    def stride(self) -> int:
        """Bytes from one CPU's value to the next one's."""
        return -(-self.each.size // STRIDE) * STRIDE

    @property
    def size(self) -> int:
        """Bytes that the kernel reads and writes for one key."""
        return self.stride * self.cpus

    def pack(self, value: Any) -> bytearray:
        """Turn a sequence of one value a CPU into the kernel's bytes. Raises EncodeError.

        An array of numpy with a row for each CPU is a sequence too.
        """
        array = getattr(value, "ndim", 0) > 0
        if isinstance(value, str | bytes | bytearray) or not (array or isinstance(value, Sequence)):
            raise self._misfit(f"{value!r} was given")
        if len(value) != self.cpus:
            raise self._misfit(f"{len(value)} were given")
        padding = bytes(self.stride - self.each.size)
        return bytearray().join(self.each.pack(one) + padding for one in value)

    def unpack(self, raw: Buffer) -> tuple[Any, ...]:
        """Turn the kernel's bytes into one value a CPU."""
        size, stride = self.each.size, self.stride
        starts = range(0, self.cpus * stride, stride)
        return tuple(self.each.unpack(raw[start : start + size]) for start in starts)

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` values, each `stride` bytes behind the one before, into a list of tuples."""
        if stride != self.size:
            view = memoryview(raw)
            return [self.unpack(view[at:]) for at in range(0, count * stride, stride)]
        lanes = iter(self.each.unpack_many(raw, count * self.cpus, self.stride))
        return list(zip(*[lanes] * self.cpus, strict=True))

    def dtype(self) -> np.dtype[Any]:
        """The dtype of each CPU's value."""
        return self.each.dtype()

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
