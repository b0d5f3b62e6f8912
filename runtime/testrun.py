"""Test runs: a program run on a frame or context without being attached (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, overload

from ebpfasm.errors import LoadError, NotSupported, unsupported
from ebpfasm.ir.values import Buffer
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.native import native_core
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


class Runner(Protocol):
    """One way to run a program: buffers that are kept, used by one thread at a time."""

    settings: Settings
    room: int  # bytes there are for the frame that comes out
    needed: int  # bytes of the frame that came out last, or would have

    def prepare(self, settings: Settings, ctx: bytes) -> None:
        """Make the buffers for runs of a kind, and take the context that they begin with."""

    @property
    def run(self) -> Callable[[bytes], TestRun]:
        """Runs the program once, as prepared. Raises OSError."""

    def run_each(self, frames: Sequence[bytes], into: TestRuns) -> None:
        """Run on frames behind those that `into` has already. Raises OSError."""


class TestRuns(Sequence[TestRun]):
    """The outcomes of a program on frame after frame, made when they are looked at.

    `retvals` and `durations_ns` are arrays, for those who want no more.
    """

    def __init__(self) -> None:
        self.retvals, self.durations_ns = array("I"), array("I")
        self._ends = array("Q", [0])
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
        data = bytes(self._data[self._ends[number] : self._ends[number + 1]])
        return TestRun(self.retvals[number], data, self.durations_ns[number])

    def extend(
        self, retvals: array[int], durations: array[int], sizes: array[int], data: Buffer
    ) -> None:
        """Put outcomes behind the others; `data` are their frames, one behind the other."""
        self.retvals += retvals
        self.durations_ns += durations
        self._ends.extend(accumulate(sizes, initial=self._ends.pop()))
        self._data += data


TestRuns.__test__ = False  # type: ignore[attr-defined]


def runner(fd: int, type: str) -> Runner:
    """A runner for the program behind a descriptor."""
    core, ctx_stays = native_core(), type in _CTX_STAYS
    return _Plain(fd, ctx_stays) if core is None else _Native(core, fd, ctx_stays)


_U32 = 0xFFFF_FFFF
_LONG = -2  # the native core's answer where it does not keep the lock


class _Native:
    """Through the native core."""

    __slots__ = (
        "_buffers", "_ctx", "_ctx_out", "_ctx_stays", "_data", "_ffi", "_lib", "_place", "_run",
        "_view", "needed", "room", "run", "settings",
    )  # fmt: skip

    def __init__(self, core: Any, fd: int, ctx_stays: bool) -> None:
        self._ctx_stays = ctx_stays
        self._lib, self._ffi = core.lib, core.ffi
        self._run = core.ffi.new("struct ebpfasm_test_run *")
        self._run.prog_fd = fd
        self._data: Any = b""
        self._place = int(core.ffi.cast("uintptr_t", self._run))
        self.settings = Settings()
        self.needed = self.room = 0

    def prepare(self, settings: Settings, ctx: bytes) -> None:
        ffi, run = self._ffi, self._run
        self.settings, self.room, self._ctx = settings, settings.room, ctx
        out = ffi.new("unsigned char[]", settings.room) if settings.room else ffi.NULL
        ctx_in = ffi.new("unsigned char[]", ctx) if ctx else ffi.NULL
        ctx_out = ctx_in if self._ctx_stays or not ctx else ffi.new("unsigned char[]", len(ctx))
        self._buffers = out, ctx_in, ctx_out  # they live as long as their names
        self._view = ffi.buffer(out, settings.room) if settings.room else b""
        self._ctx_out: Any = ffi.buffer(ctx_out, len(ctx)) if ctx else b""
        run.data_out, run.data_room = out, settings.room
        run.ctx_in, run.ctx_size = ctx_in, len(ctx)
        run.ctx_out, run.ctx_room = ctx_out, 0 if self._ctx_stays else len(ctx)
        run.repeat, run.flags = settings.repeat, settings.flags
        run.cpu, run.batch_size = settings.cpu, settings.batch_size
        run.duration = _U32  # not known yet
        self.run = self._once()

    def _once(self) -> Callable[[bytes], TestRun]:
        """A function for a run as prepared: local names cost a third of attributes."""
        call, place, other = self._lib.ebpfasm_held_test_run, self._place, self._other
        take, new, kind = self._take, tuple.__new__, TestRun
        taken: bytes | None = None

        def once(data: bytes) -> TestRun:
            nonlocal taken
            if data is not taken:
                take(data)
                taken = data
            result = call(place)
            if result >= 0:
                # Not TestRun(...), which takes three times as long.
                return new(kind, (result & _U32, data, result >> 32, b""))
            return other(data, result)

        return once

    def _take(self, data: bytes) -> None:
        """Put a frame where the runs read it."""
        size = len(data)
        if size > len(self._data):
            self._data = self._ffi.new("unsigned char[]", size)
            self._run.data = self._data
        if size:
            self._ffi.memmove(self._data, data, size)
        self._run.data_size = size

    def _other(self, data: bytes, result: int) -> TestRun:
        """A run that takes long, that has a context, that changed its frame, or that failed."""
        run = self._run
        if result == _LONG:
            result = self._lib.ebpfasm_test_run(self._place)
        if run.error:
            self.needed = run.data_size_out
            raise OSError(-run.error, os.strerror(-run.error))
        data_out = data if result >= 0 else self._view[: run.data_size_out]
        ctx_out = self._ctx_back() if self._ctx else b""
        return TestRun(run.retval, data_out, run.duration, ctx_out)

    def run_each(self, frames: Sequence[bytes], into: TestRuns) -> None:
        data, sizes = b"".join(frames), array("I", map(len, frames))
        count = len(sizes)
        results = [array("I", bytes(4 * count)) for _ in range(3)]
        out = self._ffi.new("unsigned char[]", len(data) + max(self.room, len(data) // 4))
        error = self._ffi.new("int *")
        pointers = [self._ffi.from_buffer("uint32_t[]", each) for each in (sizes, *results)]
        each = self._lib.ebpfasm_test_run_each
        done = each(self._run, data, pointers[0], count, *pointers[1:], out, len(out), error)
        retvals, durations, sizes_out = (each[:done] for each in results)
        into.extend(retvals, durations, sizes_out, self._ffi.buffer(out, sum(sizes_out)))
        if error[0] and -error[0] != errno.ENOBUFS:
            self.needed = self._run.data_size_out
            raise OSError(-error[0], os.strerror(-error[0]))

    def _ctx_back(self) -> bytes:
        if not self._ctx_stays:
            return bytes(self._ctx_out[: self._run.ctx_size_out])
        content = bytes(self._ctx_out[:])
        self._ctx_out[:] = self._ctx  # for the next run
        return content


# prog_fd, retval, sizes in and out, data in and out, repeat, duration, ctx sizes and places,
# flags, cpu, batch_size
_TEST_RUN = struct.Struct("=IIIIQQIIIIQQIII4x")


class _Plain:
    """Through bpf(2) from Python."""

    def __init__(self, fd: int, ctx_stays: bool) -> None:
        self._fd, self._ctx_stays = fd, ctx_stays
        self._ctx = b""
        self.settings = Settings()
        self.needed = self.room = 0

    def prepare(self, settings: Settings, ctx: bytes) -> None:
        self.settings, self.room, self._ctx = settings, settings.room, ctx

    def run(self, data: bytes) -> TestRun:
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

    def run_each(self, frames: Sequence[bytes], into: TestRuns) -> None:
        for frame in frames:
            outcome = self.run(frame)
            retval, duration = array("I", [outcome.retval]), array("I", [outcome.duration_ns])
            size = array("I", [len(outcome.data_out)])
            into.extend(retval, duration, size, outcome.data_out)


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
