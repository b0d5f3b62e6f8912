"""The message of an sk_msg program: elements one behind the other, and what of it can be seen.

The kernel keeps a message as a ring of pieces; a program sees the first one until it asks for
others (net/core/filter.c, bpf_msg_pull_data and its kin).
"""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.packet import Packet

LONGEST = 1 << 22  # bytes that the kernel allocates in one piece


class Message:
    """Its bytes lie in a packet's buffer from `start` on; `elements` are the pieces' lengths."""

    def __init__(self, packet: Packet) -> None:
        self.packet = packet
        self.start = packet.data
        self.elements = [packet.length]

    @property
    def size(self) -> int:
        """Bytes of the whole message."""
        return sum(self.elements)

    def bytes(self) -> bytes:
        """Copy the message."""
        return bytes(self.packet.buffer[self.start : self.start + self.size])

    def _find(self, place: int) -> tuple[int, int]:
        """The element that a place is in, and where that begins; past the last one for the end."""
        offset = 0
        for index, length in enumerate(self.elements):
            if place < offset + length:
                return index, offset
            offset += length
        return len(self.elements), offset

    def pull(self, start: int, end: int) -> int:
        """Show a range, in one piece."""
        if end <= start:
            return -errno.EINVAL
        index, offset = self._find(start)
        if index == len(self.elements):
            return -errno.EINVAL
        need = end - offset
        last, length = index, 0
        while last < len(self.elements) and length < need:
            length += self.elements[last]
            last += 1
        if length < need:
            return -errno.EINVAL
        self.elements[index:last] = [length]
        self._show(start, end)
        return 0

    def push(self, start: int, length: int) -> int:
        """Put zeros in."""
        if not length:
            return 0
        if start > self.size:
            return -errno.EINVAL
        if length > LONGEST:
            return -errno.ENOMEM
        index, offset = self._find(start)
        self._move(start, length)
        if start == offset:
            self.elements.insert(index, length)
        else:
            whole = self.elements[index]
            front = start - offset
            self.elements[index : index + 1] = [front, length, whole - front]
        self._show_first()
        return 0

    def pop(self, start: int, length: int) -> int:
        """Take bytes out."""
        if not length:
            return 0
        if start >= self.size or start + length > self.size:
            return -errno.EINVAL
        self._move(start, -length)
        kept: list[int] = []
        offset = 0
        for each in self.elements:
            front = min(max(start - offset, 0), each)
            back = min(max(offset + each - (start + length), 0), each)
            kept += [piece for piece in (front, back) if piece]
            offset += each
        self.elements = kept or [0]
        self._show_first()
        return 0

    def _move(self, start: int, by: int) -> None:
        """Move what is behind a place; zeros fill the gap."""
        packet, size = self.packet, self.size
        if self.start + size + by > packet.hard_end:
            packet.grow(0, self.start + size + by - packet.hard_end)
        place = self.start + start
        if by > 0:
            tail = packet.buffer[place : self.start + size]
            packet.buffer[place : self.start + size + by] = bytes(by) + tail
        else:
            tail = packet.buffer[place - by : self.start + size]
            packet.buffer[place : place + len(tail)] = tail

    def _show_first(self) -> None:
        self._show(0, self.elements[0])

    def _show(self, start: int, end: int) -> None:
        packet = self.packet
        packet.data, packet.data_end = self.start + start, self.start + end
        packet.meta = packet.data
        packet.moved()
