"""The packet of a run: headroom, metadata, data and tailroom in one buffer.

Sizes are those of the kernel's test run (net/bpf/test_run.c): 256 bytes of headroom, and a page
less the room of skb_shared_info. Moving either end of the packet makes every older pointer
stale, as the kernel's verifier has it.
"""

from __future__ import annotations

from ebpfasm.analysis.vm.memory import GAP, GENERATION, Memory

HEADROOM = 256
FRAME_HEADER = 40  # struct xdp_frame, which lies at the front of the headroom
SHARED_INFO = 320  # struct skb_shared_info, behind the tailroom
PAGE = 4096
ETHERNET = 14


class Packet:
    """Offsets into the buffer: `meta` <= `data` <= `data_end`."""

    def __init__(self, memory: Memory) -> None:
        self.buffer = bytearray(PAGE)
        self.meta = self.data = self.data_end = self.hard_end = self.link = 0
        self._dirty = False  # whether something may lie in the headroom
        self.memory = memory
        self.region = memory.add("packet", "packet", self.buffer, owner=self)
        self._bounds()

    def fill(self, content: bytes, meta: int = 0, skip: int = 0) -> None:
        """Put a packet in, its first `meta` bytes as metadata, `skip` of the rest before data."""
        if self._dirty:
            self.clean()
        region, end = self.region, HEADROOM + len(content)
        hard_end = max(PAGE - SHARED_INFO, end)
        if hard_end + SHARED_INFO > len(self.buffer):
            region.host = self.buffer = bytearray(hard_end + SHARED_INFO)
        self.buffer[HEADROOM:end] = content
        self.link = HEADROOM + meta
        self.data = self.link + skip
        self.meta = self.data if skip else HEADROOM
        self.data_end, self.hard_end = end, hard_end
        self._dirty = meta > 0
        region.base, region.low, region.high = GAP, self.meta, end
        self.memory.changed(region)

    def adopt(self, data: int, data_end: int, meta: int) -> None:
        """Take over a packet that the native engine put into the buffer."""
        self.data, self.data_end, self.meta, self.link = data, data_end, meta, data
        self.hard_end = max(PAGE - SHARED_INFO, data_end)
        self.region.base = GAP
        self._bounds()

    def clean(self) -> None:
        """Empty the headroom, so that no run sees what another left there."""
        if self._dirty:
            self.buffer[:HEADROOM] = bytes(HEADROOM)
            self._dirty = False

    @property
    def length(self) -> int:
        """Bytes from data to data_end."""
        return self.data_end - self.data

    def bytes(self) -> bytes:
        """Copy the data."""
        return bytes(self.buffer[self.data : self.data_end])

    def moved(self, *, data: int | None = None, end: int | None = None) -> None:
        """Set new ends; the caller has checked them. Older pointers become stale."""
        self._dirty = True
        if data is not None:
            self.link += data - self.data
            self.data = data
        if end is not None:
            if end > self.data_end:
                self.buffer[self.data_end : end] = bytes(end - self.data_end)
            self.data_end = end
        self.region.base += GENERATION
        if self.region.base >> 47:
            self.region.base -= 1 << 47
        self._bounds()

    def grow(self, head: int, tail: int) -> None:
        """Make room in front of the headroom and behind the tailroom, as pskb_expand_head does."""
        self.buffer = bytearray(head) + self.buffer + bytearray(tail)
        self.region.host = self.buffer
        self.meta += head
        self.data += head
        self.link += head
        self.data_end += head
        self.hard_end += head + tail
        self._bounds()

    def address(self, offset: int) -> int:
        """The address of a place in the buffer."""
        return self.region.address + offset

    def _bounds(self) -> None:
        self.region.low, self.region.high = self.meta, self.data_end
        self.memory.changed(self.region)
