"""Keys and values that BTF describes, as Python values."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.decoding import Decoder, decoder
from ebpfasm.ir.dtypes import dtype_of
from ebpfasm.ir.encoding import Misfit, encode
from ebpfasm.ir.gather import UNUSUAL, Packer, packer
from ebpfasm.ir.shapes import Shape
from ebpfasm.ir.values import Buffer

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Typed:
    """What BTF describes. `frozen`: it is a key, and comes as something hashable."""

    what: str
    shape: Shape
    frozen: bool = False
    decoder: Decoder = field(init=False, repr=False, compare=False)
    _packer: Packer | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", decoder(self.shape, frozen=self.frozen))
        object.__setattr__(self, "_packer", packer(self.shape))

    @property
    def size(self) -> int:
        """Bytes of the C type."""
        return self.shape.size

    @property
    def integer(self) -> bool:
        """Whether it is an enumeration: to look at, an integer."""
        return getattr(self.shape, "kind", "") == "enum"

    @property
    def signed(self) -> bool:
        """Whether the enumeration has values below zero."""
        return getattr(self.shape, "signed", False)

    def pack(self, value: Any) -> bytes:
        """Turn a value into the kernel's bytes. Raises EncodeError, which names the field.

        Records are taken as dicts, dataclasses, tuples in the order of the fields, ctypes
        structures, numpy records, and bytes of the whole.
        """
        if self._packer is not None:
            try:
                return self._packer(value)
            except UNUSUAL:
                pass
        return self._pack_unusual(value)

    def _pack_unusual(self, value: Any) -> bytes:
        try:
            return encode(self.shape, value)
        except Misfit as misfit:
            field = f": field {misfit.path}" if misfit.path else ""
            message = f"the {self.what}{field} {misfit.sentence}"
            raise EncodeError(error("map-value", message)) from None

    def unpack(self, raw: Buffer) -> Any:
        """Turn the kernel's bytes into numbers, bytes, lists and dicts."""
        return self.decoder.one(raw)

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` values, each `stride` bytes behind the one before, into a list."""
        return self.decoder.many(raw, count, stride)

    def dtype(self) -> np.dtype[Any]:
        """The dtype with the fields at the same places."""
        return dtype_of(self.shape)
