"""Maps whose memory is shared with this process: arrays made with BPF_F_MMAPABLE."""

from __future__ import annotations

import errno
import mmap
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.errors import LoadError, error
from ebpfasm.ir.mapping import ElementMapping
from ebpfasm.ir.values import STRIDE
from ebpfasm.isa.constants import CONSTANTS

if TYPE_CHECKING:
    import numpy as np

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class SharedMapping(ElementMapping):
    """Maps whose elements are memory, read and written without a system call."""

    @property
    def fd(self) -> int:
        """The descriptor's number."""
        raise NotImplementedError

    def fail(self, verb: str, refusal: OSError, key: Any = None) -> NoReturn:
        """Raise what an OSError means."""
        raise NotImplementedError

    @property
    def stride(self) -> int:
        """Bytes from one element to the next in shared memory: the value's, rounded up to 8."""
        return -(-self.value_size // STRIDE) * STRIDE

    def memory(self, *, writable: bool = True) -> memoryview:
        """The elements' memory: of integers a view of them by index, else bytes row by row.

        It is alive as long as the view, also after the map is closed. Aligned numbers of up to 8
        bytes are read and written whole; what several elements say need not be of one moment.
        Raises LoadError: EINVAL without BPF_F_MMAPABLE, EPERM for writing to a frozen map.
        """
        view = memoryview(self._mapped(writable))[: self.max_entries * self.stride]
        code = _CODES.get(self.value_size) if self._value.integer else None
        if code is None:
            return view.cast("B", (self.max_entries, self.stride))
        code = code.lower() if self._value.signed else code
        return view.cast(code)[:: self.stride // self.value_size]  # type: ignore[call-overload,no-any-return]

    def array(self, *, writable: bool = True) -> np.ndarray[Any, Any]:
        """The elements as an array of `value_dtype`, over the map's own memory; see `memory`."""
        import numpy as np

        dtype, shape = self._value.dtype(), (self.max_entries,)
        shared = self._mapped(writable)
        return np.ndarray(shape, dtype, memoryview(shared), 0, (self.stride,))

    def _mapped(self, writable: bool) -> mmap.mmap:
        if self.type != "array" or not self.spec.flags & CONSTANTS["BPF_F_MMAPABLE"]:
            message = f"map {self.name!r} has no memory to share"
            hint = "make it an array with the flag BPF_F_MMAPABLE"
            raise LoadError(error("map-operation", message, hint=hint), errno=errno.EINVAL)
        length = -(-self.max_entries * self.stride // mmap.PAGESIZE) * mmap.PAGESIZE
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        try:
            return mmap.mmap(self.fd, length, mmap.MAP_SHARED, protection)
        except OSError as refusal:
            self.fail("share the memory of", refusal)
