"""What owns a file descriptor: closes it once, deterministically, and never someone else's."""

from __future__ import annotations

import os
import warnings

from ebpfasm.closing import Closing


class Descriptor(Closing):
    """An open descriptor of a kernel object, closed at the end of its `with` block.

    Forgotten ones are closed when they are collected, with a ResourceWarning, as files are.
    """

    _fd = -1  # so that __del__ works where __init__ failed

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @property
    def fd(self) -> int:
        """The descriptor's number. Raises ValueError after close()."""
        if self._fd < 0:
            raise ValueError(f"{type(self).__name__} is closed")
        return self._fd

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._fd < 0

    def fileno(self) -> int:
        """The descriptor's number, so that select() and poll() take the object itself."""
        return self.fd

    def close(self) -> None:
        """Give the descriptor back. The kernel frees the object with its last user."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if self._fd >= 0:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()
