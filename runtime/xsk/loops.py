"""Whole loops over packets, in C: they run without the interpreter's lock and hear signals."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm import pcap
from ebpfasm.errors import EbpfError, error
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.rings import deadline_of

if TYPE_CHECKING:
    from ebpfasm.runtime.xsk.socket import XskSocket

_SLICE = 50_000_000  # ns in C before Python may run the handlers of signals
_MOST = (1 << 63) - 1
# The head of a pcap file with nanoseconds, Ethernet; in this machine's byte order.
_HEAD = struct.Struct("=IHHiIII")
_NANOSECONDS, _ETHERNET = 0xA1B23C4D, 1

Step = Callable[[int, int], int]
Stop = Callable[[], bool] | None


def drop(socket: XskSocket, count: int | None, timeout: float | None, stop: Stop) -> int:
    """As XskSocket.drop tells."""
    step = socket.core.lib.ebpfasm_xsk_drop
    return _drive(
        socket, lambda limit, until: step(socket.handle, limit, until), count, timeout, stop
    )


def echo(
    socket: XskSocket, layer: int, count: int | None, timeout: float | None, stop: Stop
) -> int:
    """As XskSocket.echo tells."""
    if layer not in (2, 3, 4):
        raise ValueError(f"layer is 2, 3 or 4, not {layer!r}")
    step = socket.core.lib.ebpfasm_xsk_echo
    done = _drive(
        socket, lambda limit, until: step(socket.handle, layer, limit, until), count, timeout, stop
    )
    socket.flush()  # says what hindered the last ones
    return done


def forward(
    socket: XskSocket,
    to: XskSocket,
    count: int | None,
    timeout: float | None,
    stop: Stop,
) -> int:
    """As XskSocket.forward tells."""
    step = socket.core.lib.ebpfasm_xsk_forward
    too_long = socket.core.ffi.new("uint64_t *")
    done = _drive(
        socket,
        lambda limit, until: step(socket.handle, to.handle, limit, until, too_long),
        count,
        timeout,
        stop,
    )
    to.flush()
    return done


def capture(
    socket: XskSocket,
    path: str | os.PathLike[str],
    count: int | None,
    timeout: float | None,
    snap: int,
    stop: Stop,
) -> int:
    """As XskSocket.capture tells."""
    if not 1 <= snap < 1 << 31:
        raise ValueError(f"snap is a number of bytes, not {snap!r}")
    core = socket.core
    written = core.ffi.new("uint64_t *")
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(_HEAD.pack(_NANOSECONDS, 2, 4, 0, 0, snap, _ETHERNET))
            number = file.fileno()
            return _drive(
                socket,
                lambda limit, until: core.lib.ebpfasm_xsk_capture(
                    socket.handle, number, snap, limit, until, written
                ),
                count,
                timeout,
                stop,
            )
    except OSError as problem:
        raise faults.cannot_write(path, problem.errno or 0) from None


def replay(
    socket: XskSocket,
    packets: str | os.PathLike[str] | Sequence[bytes],
    count: int | None,
    timeout: float | None,
    speed: float,
    stop: Stop,
) -> int:
    """As XskSocket.replay tells."""
    if speed < 0:
        raise ValueError(f"speed is 0 or more, not {speed!r}")
    plan, kept = _plan(socket, packets, speed)
    if not plan.count:
        return 0
    longest = max(kept[2])
    if longest > socket.frame_size or not min(kept[2]):
        raise faults.bad_frame(
            f"a packet of {longest} bytes is longer than a frame of {socket.frame_size}"
            if longest > socket.frame_size
            else "a packet of no bytes cannot be sent"
        )
    plan.begin = time.monotonic_ns()
    step = socket.core.lib.ebpfasm_xsk_replay
    wanted = plan.count if count is None else count
    done = _drive(
        socket, lambda limit, until: step(socket.handle, plan, limit, until), wanted, timeout, stop
    )
    socket.flush()
    return done


def _drive(
    socket: XskSocket, step: Step, count: int | None, timeout: float | None, stop: Stop
) -> int:
    """Call a loop slice by slice; between them Python runs the handlers of signals."""
    if count is not None and count < 0:
        raise ValueError(f"count is 0 or more, not {count!r}")
    deadline = deadline_of(timeout)
    done = 0
    while count is None or done < count:
        now = time.monotonic_ns()
        until = now + _SLICE if deadline is None else min(now + _SLICE, deadline)
        outcome = step(_MOST if count is None else count - done, until)
        if outcome < 0:
            _stopped(socket, -outcome)
        done += outcome
        if (deadline is not None and time.monotonic_ns() >= deadline) or (stop and stop()):
            break
    return done


def _stopped(socket: XskSocket, number: int) -> None:
    if number in (errno.EINTR, errno.EAGAIN):
        return
    if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EPIPE):
        raise OSError(number, os.strerror(number))  # of the capture's file
    raise faults.failed(number, socket.settings.where)


def _plan(
    socket: XskSocket, packets: str | os.PathLike[str] | Sequence[bytes], speed: float
) -> tuple[Any, tuple[Any, ...]]:
    """What C is to send, and what must live as long."""
    ffi = socket.core.ffi
    if isinstance(packets, str | os.PathLike):
        content, offsets, lengths, times = _from_file(packets)
    else:
        content, times = b"".join(packets), []
        lengths = [len(each) for each in packets]
        offsets = [0]
        for length in lengths[:-1]:
            offsets.append(offsets[-1] + length)
    plan = ffi.new("struct ebpfasm_replay *")
    plan.count = len(lengths)
    data = ffi.from_buffer("unsigned char[]", content)
    where, sizes = ffi.new("uint64_t[]", offsets), ffi.new("uint32_t[]", lengths)
    plan.data, plan.offsets, plan.lengths = data, where, sizes
    due = ffi.NULL
    if speed and times:
        due = ffi.new("int64_t[]", [int((each - times[0]) / speed) for each in times])
        # The next round begins one mean gap behind the last packet.
        plan.period = due[len(times) - 1] + due[len(times) - 1] // max(len(times) - 1, 1)
    plan.times = due
    return plan, (data, where, lengths, sizes, due)


def _from_file(path: str | os.PathLike[str]) -> tuple[bytes, list[int], list[int], list[int]]:
    """A capture's bytes; where its packets are, how long, and when (ns) they were captured."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        name = os.fspath(path)
        raise EbpfError(error("file-missing", f"{name} cannot be opened: {reason}")) from None
    lengths = [len(each) for each in pcap.read(content)]  # says what is wrong with it
    order = "<" if content[:1] in (b"\xd4", b"\x4d") else ">"
    unit = 1 if content[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    offsets, times, at = [], [], 24
    for length in lengths:
        seconds, fraction = struct.unpack_from(f"{order}II", content, at)
        times.append(seconds * 1_000_000_000 + fraction * unit)
        offsets.append(at + 16)
        at += 16 + length
    return content, offsets, lengths, times
