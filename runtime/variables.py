"""Global variables of a loaded object: read and written where the programs have them.

A section of variables is the only element of an array, mapped into this process where the kernel
can do that: reading one takes no system call, and both sides see what the other writes.
"""

from __future__ import annotations

import errno
import mmap
from typing import Any, Protocol

from ebpfasm.closing import Closing
from ebpfasm.errors import BtfError, LoadError, error
from ebpfasm.ir.specs import VarSpec
from ebpfasm.ir.typed import Typed
from ebpfasm.ir.values import Codec, Plain, plain
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.maps import Map

_MMAPABLE = CONSTANTS["BPF_F_MMAPABLE"]
_KEY = bytes(4)


class Memory(Protocol):
    """Where variables are."""

    frozen: bool

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of it."""

    def write(self, offset: int, content: bytes | bytearray) -> None:
        """Change bytes of it."""

    def close(self) -> None:
        """Give it back."""


class Section(Closing):
    """The value of a data map, mapped when it is first needed; by look-ups where it cannot be."""

    def __init__(self, map: Map) -> None:
        self.map = map
        self.frozen = map.spec.frozen
        self._memory: mmap.mmap | None = None
        self._mappable = bool(map.spec.flags & _MMAPABLE)

    def memory(self) -> mmap.mmap | None:
        """The mapped value, None where the kernel does not map it."""
        if self._memory is None and self._mappable:
            access = mmap.ACCESS_READ if self.frozen else mmap.ACCESS_WRITE
            try:
                self._memory = mmap.mmap(self.map.fd, self._length(), access=access)
            except OSError:
                self._mappable = False
        return self._memory

    def _length(self) -> int:
        return -(-self.map.value_size // mmap.PAGESIZE) * mmap.PAGESIZE

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the value. Raises LoadError, ValueError after close()."""
        memory = self.memory()
        if memory is not None:
            return memory[offset : offset + size]
        return bytes(self._whole()[offset : offset + size])

    def write(self, offset: int, content: bytes | bytearray) -> None:
        """Change bytes of the value. Without a mapping, others' changes meanwhile are lost."""
        memory = self.memory()
        if memory is not None:
            memory[offset : offset + len(content)] = bytes(content)
            return
        value = self._whole()
        value[offset : offset + len(content)] = content
        self.map.update_bytes(_KEY, value)

    def _whole(self) -> bytearray:
        value = self.map.lookup_bytes(_KEY)
        assert value is not None  # elements of an array are always there
        return bytearray(value)

    def close(self) -> None:
        """Take the mapping back."""
        memory, self._memory = self._memory, None
        self._mappable = False
        if memory is not None:
            memory.close()


class Variable:
    """A global variable, live in both directions."""

    def __init__(self, spec: VarSpec, section: Memory) -> None:
        self.spec = spec
        self.name = spec.name
        self._section = section
        self._codec = codec_of(spec)

    @property
    def value(self) -> Any:
        """The value now: a number, bytes, or what its type is in BTF.

        What is set is in the program's memory at once. Setting raises EncodeError where it does
        not fit, LoadError where the section is frozen, as .rodata is. Numbers are read and
        written in one piece.
        """
        return self._codec.unpack(self._section.read(self.spec.offset, self.spec.size))

    @value.setter
    def value(self, value: Any) -> None:
        content = self._codec.pack(value)
        if self._section.frozen:
            raise self._frozen()
        self._section.write(self.spec.offset, content)

    def _frozen(self) -> LoadError:
        message = f"variable {self.name!r} is constant: {self.spec.map} is frozen once it is loaded"
        hint = f"set it before that: spec.variables[{self.name!r}].value = ..."
        return LoadError(error("map-operation", message, hint=hint), errno=errno.EPERM)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} of {self.spec.map}, {self.spec.size} bytes>"


def codec_of(spec: VarSpec) -> Codec:
    """How a variable looks in Python: by its type in BTF, else by its size."""
    what = f"variable {spec.name!r}"
    if spec.btf is None or not spec.type:
        return plain(what, spec.size)
    from ebpfasm.ir.shapes import Number, shape_of

    try:
        shape = shape_of(spec.btf, spec.type)
    except BtfError:
        return plain(what, spec.size)
    if shape.size != spec.size:
        return Plain(what, spec.size, integer=False)
    if isinstance(shape, Number) and shape.kind in ("int", "pointer"):
        return Plain(what, spec.size, integer=True, signed=shape.signed)
    return Typed(what, shape)
