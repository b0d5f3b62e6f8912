"""Test runs: a program run on a frame or context without being attached (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import errno
import struct
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

from ebpfasm.errors import LoadError, NotSupported, unsupported
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.native import native_objects
from ebpfasm.runtime import syscall
from ebpfasm.runtime.refusals import ENOTSUPP, refused, rights_for

# Types whose test run takes a frame; the others take a context alone.
PACKET_TYPES = frozenset({
    "xdp", "socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out",
    "lwt_xmit", "lwt_seg6local", "flow_dissector", "netfilter",
})  # fmt: skip
# Types whose context does not come out; a syscall program's is changed where it is.
_CTX_STAYS = frozenset({"raw_tracepoint", "raw_tracepoint_writable", "syscall", "tracing"})
_ETHERNET = 14  # bytes of header without which the kernel runs no packet program
GROWTH = 4096  # bytes that a program may add to a frame before the caller must say more
ATTEMPTS = 5  # where signals come between

ON_CPU = CONSTANTS["BPF_F_TEST_RUN_ON_CPU"]
LIVE_FRAMES = CONSTANTS["BPF_F_TEST_XDP_LIVE_FRAMES"]


class TestRun(NamedTuple):
    """The outcome of a test run; `duration_ns` is the mean of its repetitions."""

    retval: int
    data_out: bytes
    duration_ns: int
    ctx_out: bytes = b""


TestRun.__test__ = False  # type: ignore[attr-defined]  # no test class, whatever the name says


class Settings(NamedTuple):
    """What a test run is asked for; sizes in bytes. `cpu` and `batch_size` count with a flag."""

    repeat: int = 1
    room: int = GROWTH
    flags: int = 0
    cpu: int = 0
    batch_size: int = 0


# What comes of frames, as columns of 32 bits: return values, durations, sizes; then the frames that
# came out, one behind the other, and the errno of the one that was refused, or 0.
Columns = tuple[bytes, bytes, bytes, bytes, int]


class Runner(Protocol):
    """One way to run a program: buffers that are kept, used by one thread at a time."""

    settings: Settings
    needed: int  # bytes of the frame that came out last, or would have
    longest: int  # frame that it is prepared for

    def prepare(self, settings: Settings, ctx: bytes, longest: int, /) -> None:
        """Make the buffers for runs of a kind, and take the context that they begin with."""

    def run(self, data: bytes, /) -> TestRun:
        """Run the program once, as prepared. Raises OSError."""

    def run_each(self, frames: tuple[bytes, ...], /) -> Columns:
        """Run on frame after frame, until one is refused or many bytes came out."""


class TestRuns(Sequence[TestRun]):
    """The outcomes of a program on frame after frame, made when they are looked at.

    `retvals` and `durations_ns` are arrays, for those who want no more.
    """

    def __init__(self) -> None:
        self.retvals, self.durations_ns = array("I"), array("I")
        self._sizes, self._ends = array("I"), array("Q", [0])
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self.retvals)

    @overload
    def __getitem__(self, index: int) -> TestRun: ...
    @overload
    def __getitem__(self, index: slice) -> list[TestRun]: ...
    def __getitem__(self, index: int | slice) -> TestRun | list[TestRun]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        if len(self._ends) <= len(self):
            new = self._sizes[len(self._ends) - 1 :]
            self._ends.extend(accumulate(new, initial=self._ends.pop()))
        data = bytes(self._data[self._ends[number] : self._ends[number + 1]])
        return TestRun(self.retvals[number], data, self.durations_ns[number])

    def extend(self, retvals: bytes, durations: bytes, sizes: bytes, data: bytes) -> None:
        """Put outcomes behind the others: columns as a Runner gives them."""
        self.retvals.frombytes(retvals)
        self.durations_ns.frombytes(durations)
        self._sizes.frombytes(sizes)
        self._data += data


TestRuns.__test__ = False  # type: ignore[attr-defined]


class Runnable:
    """What a program is to the native core: `_quick` is the Runner for a frame alone."""

    __slots__ = ("_quick",)
    _quick: Runner | None


_objects = native_objects()
if _objects is not None and not TYPE_CHECKING:
    Runnable = _objects.Runnable


def runner(fd: int, type: str) -> Runner:
    """A runner for the program behind a descriptor."""
    objects, ctx_stays = native_objects(), type in _CTX_STAYS
    if objects is None:
        return _Plain(fd, ctx_stays)
    made: Runner = objects.Runner(fd, TestRun, ctx_stays)
    return made


# prog_fd, retval, sizes in and out, data in and out, repeat, duration, ctx sizes and places,
# flags, cpu, batch_size
_TEST_RUN = struct.Struct("=IIIIQQIIIIQQIII4x")


def frames_of(given: Iterable[bytes]) -> tuple[tuple[bytes, ...], int]:
    """The frames as they are run on, and the length of the longest."""
    frames = tuple(given)
    longest = _longest(frames)
    if longest < 0:
        frames = tuple(map(bytes, frames))
        longest = _longest(frames)
    return frames, longest


def _longest(frames: tuple[bytes, ...]) -> int:
    """The length of the longest, -1 where one is not bytes."""
    if _objects is not None:
        return int(_objects.longest(frames))
    if set(map(type, frames)) - {bytes}:
        return -1
    return max(map(len, frames), default=0)


class _Plain:
    """Through bpf(2) from Python."""

    def __init__(self, fd: int, ctx_stays: bool) -> None:
        self._fd, self._ctx_stays = fd, ctx_stays
        self._ctx = b""
        self.settings = Settings()
        self.needed = self.longest = 0

    def prepare(self, settings: Settings, ctx: bytes, longest: int, /) -> None:
        self.settings, self._ctx, self.longest = settings, ctx, longest

    def run(self, data: bytes, /) -> TestRun:
        settings, ctx = self.settings, self._ctx
        into, out = bytearray(data), bytearray(settings.room)
        ctx_into = bytearray(ctx)
        ctx_out = bytearray() if self._ctx_stays else bytearray(len(ctx))
        attributes = bytearray(_TEST_RUN.pack(
            self._fd, 0, len(into), len(out), syscall.address(into), syscall.address(out),
            settings.repeat, 0, len(ctx_into), len(ctx_out),
            syscall.address(ctx_into), syscall.address(ctx_out),
            settings.flags, settings.cpu, settings.batch_size,
        ))  # fmt: skip
        try:
            syscall.bpf(syscall.PROG_TEST_RUN, attributes)
        finally:
            fields = _TEST_RUN.unpack(attributes)
            self.needed = fields[3]
        ctx_back = ctx_into if self._ctx_stays else ctx_out[: fields[9]]
        return TestRun(fields[1], bytes(out[: fields[3]]), fields[7], bytes(ctx_back))

    def run_each(self, frames: tuple[bytes, ...], /) -> Columns:
        number, done = 0, []
        for frame in frames:
            try:
                done.append(self.run(frame))
            except OSError as refusal:
                number = refusal.errno or errno.EIO
                break
        retvals = array("I", [each.retval for each in done])
        durations = array("I", [each.duration_ns for each in done])
        sizes = array("I", [len(each.data_out) for each in done])
        data = b"".join(each.data_out for each in done)
        return retvals.tobytes(), durations.tobytes(), sizes.tobytes(), data, number


def failure(
    name: str, type: str, refusal: OSError, data: bytes, runner: Runner
) -> LoadError | NotSupported:
    """Say why a test run failed."""
    what, settings = f"test-run program {name!r}", runner.settings
    number = refusal.errno or 0
    if number in (ENOTSUPP, errno.EOPNOTSUPP):
        return unsupported(f"a test run of a program of type {type}")
    why, hint = "", None
    if number == errno.ENOSPC:
        why = f"{runner.needed} bytes came out, and there was room for {settings.room}"
        hint = "give data_out_size"
    elif number == errno.EINVAL and type in PACKET_TYPES and len(data) < _ETHERNET:
        why = f"a frame has at least {_ETHERNET} bytes (an Ethernet header); got {len(data)}"
    elif number == errno.EINVAL and settings.flags & ON_CPU:
        why = f"programs of type {type} cannot be run on a CPU of choice; only raw_tracepoint ones"
    elif number == errno.ENXIO and settings.flags & ON_CPU:
        why = f"CPU {settings.cpu} is not online"
    elif number == errno.EINVAL and settings.flags & LIVE_FRAMES:
        why = "live frames are for XDP programs, since Linux 5.18"
    return refused("test-run-failed", what, number, why=why, needs=rights_for(type), hint=hint)
