"""Loaded programs: what the kernel says of them, test runs, attaching."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.native import native_objects, text_of
from ebpfasm.runtime.attach.methods import Attachable
from ebpfasm.runtime.info.program import (
    JITED,
    XLATED,
    ProgramInfo,
    read_program_info,
    read_table,
)
from ebpfasm.runtime.refusals import BPF, refused
from ebpfasm.runtime.running.testrun import (
    ATTEMPTS,
    GROWTH,
    LIVE_FRAMES,
    ON_CPU,
    PACKET_TYPES,
    Runnable,
    Runner,
    Settings,
    TestRun,
    TestRuns,
    failure,
    frames_of,
)
from ebpfasm.runtime.running.testrun import runner as make_runner

T = TypeVar("T")

# What makes test runs alike: repeat, ctx, data_out_size, cpu, live_frames, batch_size.
_Kind = tuple[int, bytes | None, int | None, int | None, bool, int]


_PLAIN: _Kind = (1, None, None, None, False, 0)  # nothing but a frame, written None for short

# A runner that is prepared for a kind of runs.
_Idle = tuple[_Kind | None, Runner]

_PART = 4096  # frames of one call into the native core


class Program(Runnable, Attachable):
    """A program in the kernel. `log` is the verifier's, where one was asked for."""

    def __init__(self, spec: ProgramSpec, fd: int, log: str = "") -> None:
        self.spec = spec
        self.name = spec.name
        row = PROGRAM_TYPES.find(spec.type)
        self.type = row.name if row is not None else spec.type
        self.log = log
        self._growth = GROWTH if self.type in PACKET_TYPES else 0
        # What has run, for the next run: plain ones, and of other kinds.
        self._plain: list[_Idle] = []
        self._special: list[_Idle] = []
        self._quick: Runner | None = None  # for plain ones, where the native core is built
        super().__init__(fd)

    @property
    def id(self) -> int:
        """The kernel's number for the program."""
        return self.info().id

    def info(self) -> ProgramInfo:
        """Ask the kernel about the program. Raises LoadError."""
        return self._asked(read_program_info)

    def xlated(self) -> bytes:
        """Read the instructions as the kernel rewrote them. Empty without the right to see them."""
        length = self.info().xlated_length
        return self._asked(lambda fd: read_table(fd, XLATED, length))

    def jited(self) -> bytes:
        """Read the machine code, of subprograms too. Empty without a JIT or the right to see it."""
        length = self.info().jited_length
        return self._asked(lambda fd: read_table(fd, JITED, length))

    def _asked(self, read: Callable[[int], T]) -> T:
        try:
            return read(self.fd)
        except OSError as refusal:
            what = f"ask about program {self.name!r}"
            raise refused("load-failed", what, refusal.errno or 0, needs=BPF) from None

    def test_run(
        self,
        data: bytes = b"",
        *,
        repeat: int = 1,
        ctx: bytes | None = None,
        data_out_size: int | None = None,
        cpu: int | None = None,
        live_frames: bool = False,
        batch_size: int = 0,
    ) -> TestRun:
        """Run the program on a frame or context, without attaching it (BPF_PROG_TEST_RUN).

        Newer kernels want the 14 bytes of an Ethernet header at least. The frame that comes
        out may be longer; `data_out_size` is the room for it, by default 4096 bytes more than
        `data`. `cpu` chooses where a raw tracepoint program runs. With `live_frames` (Linux
        5.18) XDP's verdicts are obeyed: `repeat` frames are passed on, sent or redirected, in
        batches of `batch_size` (0: the kernel's 64), and none comes out here.
        Raises LoadError, NotSupported for program types that the kernel cannot run so.
        """
        if type(data) is not bytes:
            data = bytes(data)
        if (
            repeat == 1 and ctx is None and data_out_size is None and cpu is None
            and not live_frames and not batch_size
        ):  # fmt: skip
            kind, row = None, self._plain
        else:
            kind = repeat, ctx, data_out_size, cpu, live_frames, batch_size
            row = self._special
        try:
            last, runner = row.pop()  # out of the row while this thread uses it
        except IndexError:
            last, runner = None, make_runner(self.fd, self.type)
        if last != kind or len(data) > runner.longest or not runner.longest:
            self._prepare(runner, len(data), kind)
        if kind is None and (self._quick is None or len(data) > self._quick.longest):
            # The native test_run has found none that it could use: the next one will.
            self._quick = self._prepare(make_runner(self.fd, self.type), len(data), None)
        try:
            outcome = runner.run(data)
        except OSError as refusal:
            outcome = self._run_again(runner, data, refusal)
        row.append((kind, runner))
        return outcome

    def test_run_each(self, frames: Iterable[bytes], *, repeat: int = 1) -> TestRuns:
        """Run the program on each frame, as `test_run` does it, at less cost for each.

        Raises what `test_run` raises; a frame that cannot be run ends it.
        """
        wanted, longest = frames_of(frames)
        found = TestRuns()
        kind = repeat, None, None, None, False, 0
        runner = self._prepare(make_runner(self.fd, self.type), longest, kind)
        while (done := len(found)) < len(wanted):
            # A part at a time: signals are seen between, and memory stays small.
            *columns, number = runner.run_each(wanted[done : done + _PART])
            found.extend(*columns)
            if number not in (0, errno.EINTR):
                refusal, frame = OSError(number, os.strerror(number)), wanted[len(found)]
                raise failure(self.name, self.type, refusal, frame, runner) from None
        return found

    def _run_again(self, runner: Runner, data: bytes, refusal: OSError) -> TestRun:
        """Where a signal came between, try again after Python's own handlers have run."""
        for _ in range(ATTEMPTS):
            if refusal.errno != errno.EINTR:
                break
            try:
                return runner.run(data)
            except OSError as again:
                refusal = again
        raise failure(self.name, self.type, refusal, data, runner) from None

    def _prepare(self, runner: Runner, size: int, kind: _Kind | None) -> Runner:
        repeat, ctx, room, cpu, live_frames, batch_size = kind or _PLAIN
        if not 1 <= repeat < 1 << 32:
            raise ValueError(f"repeat is a number from 1, not {repeat}")
        longest = 1 << 32
        if room is None:
            # More than this frame needs, so that others find the room made already.
            room = size + 2 * self._growth
            longest = room - self._growth if self._growth else longest
        flags = 0 if cpu is None else ON_CPU
        if live_frames:
            flags, room = flags | LIVE_FRAMES, 0
        # Some types take no number of repetitions; 0 is once for all.
        times = 0 if repeat == 1 else repeat
        settings = Settings(times, room, flags, cpu or 0, batch_size)
        runner.prepare(settings, bytes(ctx or b""), longest)
        return runner

    def close(self) -> None:
        """Give the descriptor back. The kernel frees the program with its last user."""
        self._plain, self._special = [], []  # a run that is under way keeps the old rows
        self._quick = None
        super().close()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Program:
        """Open a program that is pinned in a BPF file system. Raises LoadError."""
        from ebpfasm.runtime.existing import pinned_program

        return pinned_program(path)

    @classmethod
    def from_id(cls, number: int) -> Program:
        """Open a program by its id. Raises LoadError, whose errno is ENOENT if there is none."""
        from ebpfasm.runtime.existing import program_by_id

        return program_by_id(number)

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"program {self.name!r}"

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"fd {self.fd}"
        return f"<Program {self.name!r} {self.type}, {where}>"


def _quicken() -> None:
    """Put the native core's way to a plain test run before the one written here.

    Its method runs a frame by `_quick`, and has all else done by `_test_run`.
    """
    objects = native_objects()
    if objects is None:
        return
    ordinary = Program.test_run
    type.__setattr__(Program, "_test_run", ordinary)
    method = objects.test_run_method(Program, text_of(ordinary))
    type.__setattr__(Program, "test_run", method)


_quicken()
