"""Arenas: memory that programs and this process share, at an address that both know.

A program is verified against the address, so an arena is mapped before its programs are loaded,
at `map_extra` where the object asks for that, and stays mapped until the collection is closed.
"""

from __future__ import annotations

import ctypes
import mmap

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.refusals import refused

_MAP_FIXED_NOREPLACE = 0x100000  # asm-generic/mman-common.h, every architecture's
_FAILED = ctypes.c_void_p(-1).value


class Arena(Closing):
    """An arena's memory. Pages come to be where somebody touches them. Raises LoadError."""

    frozen = False

    def __init__(self, map: Map) -> None:
        self.map = map
        self.size = map.max_entries * mmap.PAGESIZE
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        wanted = map.spec.map_extra
        flags = mmap.MAP_SHARED | (_MAP_FIXED_NOREPLACE if wanted else 0)
        found = libc.mmap(
            ctypes.c_void_p(wanted), ctypes.c_size_t(self.size),
            mmap.PROT_READ | mmap.PROT_WRITE, flags, map.fd, ctypes.c_long(0),
        )  # fmt: skip
        if found == _FAILED:
            raise self._refusal(ctypes.get_errno())
        self.address = int(found or 0)
        self._munmap = libc.munmap
        memory = (ctypes.c_char * self.size).from_address(self.address)
        self._view: memoryview | None = memoryview(memory).cast("B")

    def _refusal(self, number: int) -> LoadError:
        where = f" at {self.map.spec.map_extra:#x}" if self.map.spec.map_extra else ""
        what = f"map the {self.size} bytes of arena {self.map.name!r}{where}"
        return refused("load-failed", what, number, span=self.map.spec.span)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the arena. Raises ValueError after close()."""
        return bytes(self._open()[offset : offset + size])

    def write(self, offset: int, content: bytes | bytearray) -> None:
        """Change bytes of the arena. Raises ValueError after close()."""
        self._open()[offset : offset + len(content)] = content

    def _open(self) -> memoryview:
        if self._view is None:
            raise ValueError(f"arena {self.map.name!r} is closed")
        return self._view

    def close(self) -> None:
        """Take the mapping back. Pointers into it are good for nothing then."""
        view, self._view = self._view, None
        if view is not None:
            view.release()
            self._munmap(ctypes.c_void_p(self.address), ctypes.c_size_t(self.size))

    def __repr__(self) -> str:
        return f"<Arena {self.map.name!r} of {self.size} bytes at {self.address:#x}>"
