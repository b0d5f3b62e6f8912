"""The bytes of a data map before it is loaded: the one thing in a spec that can be changed.

A map and the variables in it share one Contents, so that what is written through a variable is
seen by whoever reads the map: the virtual machine, the loader, the writer of objects.
"""

from __future__ import annotations

import sys

from ebpfasm.isa.codec import ByteOrder


class Contents:
    """`size` bytes, zeros behind what was given. Two are equal whose bytes are.

    Zeros at the end do not count there: contents are compared with bytes too.
    """

    __slots__ = ("_data", "_size", "byteorder", "written")

    def __init__(
        self, data: bytes = b"", size: int | None = None, byteorder: ByteOrder = sys.byteorder
    ) -> None:
        """Take the first bytes; `byteorder` is that of the numbers in them."""
        self._data = data.rstrip(b"\0")
        self._size = len(data) if size is None else size
        # Offsets that a user has written to: what the kernel would fill in, it leaves alone.
        self.byteorder = byteorder
        self.written: set[int] = set()

    def __len__(self) -> int:
        """All bytes, zeros at the end included."""
        return self._size

    def __bool__(self) -> bool:
        """Whether any byte is not zero."""
        return bool(self._data)

    def __bytes__(self) -> bytes:
        return self._data.ljust(self._size, b"\0")

    def __eq__(self, other: object) -> bool:
        match other:
            case Contents():
                return self._data == other._data
            case bytes():
                return self._data == other.rstrip(b"\0")
            case _:
                return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Contents of {self._size} bytes>"

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on; zeros behind what was given."""
        return self._data[offset : offset + size].ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset. Raises ValueError where they would leave the contents."""
        end = offset + len(data)
        if offset < 0 or end > self._size:
            raise ValueError(f"{offset} to {end} is outside the {self._size} bytes")
        whole = self._data.ljust(end, b"\0")
        self._data = (whole[:offset] + data + whole[end:]).rstrip(b"\0")
        self.written.add(offset)
