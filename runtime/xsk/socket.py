"""A socket on a queue of an interface: the AF_XDP socket that a program holds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from ebpfasm.errors import LoadError
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.xsk import loops, options, redirect
from ebpfasm.runtime.xsk.options import BusyPoll, Copy, Counters, Statistics, XdpMode
from ebpfasm.runtime.xsk.receiving import Receiving
from ebpfasm.runtime.xsk.redirect import Redirect
from ebpfasm.runtime.xsk.rings import Settings
from ebpfasm.runtime.xsk.sending import Sending
from ebpfasm.runtime.xsk.umem import Umem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from ebpfasm.runtime.maps import Map


class XskSocket(Receiving, Sending):
    """An AF_XDP socket. Frames come from a queue of an interface, and leave through it.

    Open one with `XskSocket.open`. Three ways to handle frames: one at a time as a lease (`recv`,
    iteration, `alloc`, `send`), many as arrays (`recv_batch`, `alloc_batch`), or by loops in C
    that hold no lock of the interpreter (`drop`, `echo`, `forward`, `capture`, `replay`).

    Timeouts are in seconds: None waits for ever, 0 not at all. A wait ends at once on a signal
    whose handler raises, and with ValueError when another thread closes the socket. An interface
    that is taken down or removed raises LoadError (xsk-interface) within a tenth of a second.
    """

    def __init__(self, umem: Umem, settings: Settings, *, owns_umem: bool) -> None:
        super().__init__(umem, settings)
        self._owns_umem = owns_umem
        self._redirect: Redirect | None = None
        self._in_map: tuple[Map, int] | None = None

    @classmethod
    def open(
        cls,
        iface: str | int,
        queue: int = 0,
        *,
        umem: Umem | None = None,
        rx: bool = True,
        tx: bool = True,
        rx_size: int = 2048,
        tx_size: int = 2048,
        copy: Copy = "auto",
        need_wakeup: bool = True,
        busy_poll: BusyPoll | None = None,
        multi_buffer: bool = False,
        mode: XdpMode = "auto",
        attach: bool | Redirect = True,
        xskmap: Map | None = None,
        key: int | None = None,
    ) -> XskSocket:
        """Open a socket on a queue, and send the queue's frames to it.

        Without `umem` it gets one of its own, of as many frames as its rings hold. A socket that
        shares the UMEM of another one shares its fill and completion rings too where both are on
        one queue. Ring sizes are powers of two.

        `copy` is "zero-copy" (refused where the driver cannot), "copy", or "auto"; `zero_copy`
        says which it is. `multi_buffer` takes packets longer than a frame (Linux 6.6).

        By default the built-in program is attached, in the XDP `mode`, and detached with the last
        of this process's sockets on the interface. `attach` may be a Redirect that another
        process attached, or False: no program. With `xskmap`, the map of a program of your own,
        the socket is put there under `key`, the queue's number by default.

        Raises LoadError: interface-missing, permission, xsk-umem, xsk-open (a taken queue has
        errno EBUSY), xsk-program (another program is attached); NotSupported.
        """
        ifindex, name = interface(iface)
        owned = umem is None
        if umem is None:
            umem = Umem(max(rx_size * rx + tx_size * tx, 64))
        elif umem.closed:
            raise ValueError("the Umem is closed")
        settings = Settings(
            redirect.namespace(), ifindex, name, queue, rx_size * rx, tx_size * tx,
            max(rx_size * rx, 64), max(tx_size * tx, 64), copy, need_wakeup, multi_buffer,
            busy_poll,
        )  # fmt: skip
        made = cls(umem, settings, owns_umem=owned)
        try:
            if rx and xskmap is not None:
                made._enter(xskmap, queue if key is None else key, only_new=False)
            elif rx and attach is not False:
                made._attach(attach, mode)
        except BaseException:
            made.close()
            raise
        return made

    def _attach(self, attach: bool | Redirect, mode: XdpMode) -> None:
        settings = self.settings
        if isinstance(attach, Redirect):
            self._enter(attach.map, settings.queue, only_new=True)
            return
        self._redirect = Redirect.shared(settings.ifindex, mode, settings.multi_buffer)
        self._enter(self._redirect.map, settings.queue, only_new=True)

    def _enter(self, xskmap: Map, key: int, *, only_new: bool) -> None:
        redirect.insert(xskmap, key, self, only_new=only_new)
        self._in_map = xskmap, key

    # ---- what it is

    @property
    def queue(self) -> int:
        """The queue's number."""
        return self.settings.queue

    @property
    def interface(self) -> str:
        """The interface's name when the socket was opened."""
        return self.settings.name

    @property
    def redirect(self) -> Redirect | None:
        """The built-in program, where the socket attached it."""
        return self._redirect

    @property
    def zero_copy(self) -> bool:
        """Whether the driver and the UMEM exchange frames without a copy. Raises OSError."""
        return options.is_zero_copy(self.fd)

    def statistics(self) -> Statistics:
        """What the kernel counted. Raises OSError."""
        return options.statistics(self.fd)

    def counters(self) -> Counters:
        """What went through the rings; after close() too."""
        found = self.core.ffi.new("struct ebpfasm_xsk_counters *")
        self.core.lib.ebpfasm_xsk_counters(self.handle, found)
        return Counters(
            found.received, found.received_bytes, found.sent, found.sent_bytes, found.tx_dropped
        )

    # ---- loops in C

    def drop(
        self,
        count: int | None = None,
        timeout: float | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Receive and drop packets, in C, without the interpreter's lock; how many there were.

        Goes on until `count` packets, `timeout` seconds, or until `stop` returns true, which is
        asked some twenty times a second. Raises as recv().
        """
        return loops.drop(self, count, timeout, stop)

    def echo(
        self,
        layer: Literal[2, 3, 4] = 2,
        count: int | None = None,
        timeout: float | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Send packets back, in C, with source and destination swapped; how many there were.

        `layer` 2 swaps Ethernet's addresses, 3 those of IPv4 and IPv6 too, 4 also the ports of
        UDP and TCP. Checksums stay right. Ends as drop() does. Raises ValueError for other layers.
        """
        return loops.echo(self, layer, count, timeout, stop)

    def forward(
        self,
        to: XskSocket,
        count: int | None = None,
        timeout: float | None = None,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Send what is received on another socket, in C; how many there were.

        On one UMEM nothing is copied. Otherwise what does not fit the other's frames is dropped.
        Ends as drop() does.
        """
        return loops.forward(self, to, count, timeout, stop)

    def capture(
        self,
        path: str | os.PathLike[str],
        count: int | None = None,
        timeout: float | None = None,
        *,
        snap: int = 262144,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Write packets to a pcap file, in C, at most `snap` bytes of each; how many.

        Ends as drop() does. Raises EbpfError (file-write), ValueError for a `snap` below 1.
        """
        return loops.capture(self, path, count, timeout, snap, stop)

    def replay(
        self,
        packets: str | os.PathLike[str] | Sequence[bytes],
        count: int | None = None,
        timeout: float | None = None,
        *,
        speed: float = 0,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Send the packets of a pcap file, or a sequence of packets, in C; how many were sent.

        Once, or with `count` so many packets, again and again. `speed` 1 keeps a capture's times,
        2 is twice as fast, 0 as fast as can be. Ends as drop() does. Raises LoadError (xsk-frame)
        for a packet that is longer than a frame, VmError for a damaged capture, EbpfError
        (file-missing), ValueError for a negative speed.
        """
        return loops.replay(self, packets, count, timeout, speed, stop)

    # ---- the end

    def close(self) -> None:
        """Close the socket. Leases live on and are given back as ever; frames that were not sent
        are not. Threads that wait on the socket get ValueError.
        """
        if self._fd < 0:
            return
        self._fd = -1  # the native core closes it
        self.umem.sockets.discard(self)
        if self._in_map is not None:
            self._leave()
        self.core.lib.ebpfasm_xsk_close(self.handle)
        for frame in self._pending:
            frame.release()
        self._pending.clear()
        self.ring_queue.leave()
        if self._redirect is not None:
            self._redirect.close()
        if self._owns_umem:
            self.umem.close()

    def _leave(self) -> None:
        """Leave the XSKMAP first, so that no frame comes while the rings are cleared."""
        assert self._in_map is not None
        with suppress(LoadError):  # a frozen map: the kernel takes closed sockets out itself
            redirect.remove(*self._in_map)

    def __repr__(self) -> str:
        where = f"{self.settings.name}:{self.settings.queue}"
        return f"<XskSocket on {where}, {'closed' if self.closed else f'fd {self._fd}'}>"
