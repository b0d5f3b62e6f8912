from __future__ import annotations

import errno
import gc
import inspect
import os
import struct
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ebpfasm.asm import assemble
from ebpfasm.btf.types import Struct
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.ir import collect
from ebpfasm.runtime import kernel_btf
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.running import testrun
from ebpfasm.runtime.running.once import run
from ebpfasm.runtime.running.testrun import TestRun
from tests.runtime.samples import bpftool, counting, descriptors, passing

pytestmark = pytest.mark.kernel

FRAME = bytes(12) + b"\x08\x00" + bytes(46)


def test_a_test_run_returns_verdict_frame_and_duration() -> None:
    with load(counting()) as live:
        outcome = live.programs["count"].test_run(FRAME)
        assert (outcome.retval, outcome.data_out) == (2, FRAME)
        assert outcome.duration_ns > 0
        assert live.maps["counts"][0] == 1


def test_repetitions_run_as_often_as_asked() -> None:
    with load(counting()) as live:
        live.programs["count"].test_run(FRAME, repeat=7)
        assert live.maps["counts"][0] == 7


def test_counts_of_each_cpu_add_up() -> None:
    with load(counting("percpu_array")) as live:
        for _ in range(20):
            live.programs["count"].test_run(FRAME)
        counts = live.maps["counts"][0]
        assert len(counts) == possible_cpus()
        assert sum(counts) == 20


def test_a_frame_may_grow_and_shrink() -> None:
    text = (
        '.license "GPL"\n.section xdp\nmain:\n r2 = {}\n call bpf_xdp_adjust_head\n r0 = 2\n exit\n'
    )
    for delta in (-16, 16):
        with load(assemble(text.format(delta))) as live:
            data = live.programs["main"].test_run(FRAME).data_out
            assert len(data) == len(FRAME) - delta


def test_too_little_room_is_said_and_not_hidden() -> None:
    with load(passing()) as live, pytest.raises(LoadError) as refusal:
        live.programs["pass"].test_run(FRAME, data_out_size=20)
    assert str(refusal.value) == (
        "error[test-run-failed]: cannot test-run program 'pass': 60 bytes came out, and there was "
        "room for 20 (ENOSPC)\n   hint: give data_out_size"
    )


@pytest.mark.parametrize("size", [0, 5, 13])
def test_a_frame_shorter_than_its_header_is_refused(size: int) -> None:
    with load(passing()) as live:
        try:
            outcome = live.programs["pass"].test_run(bytes(size))
        except LoadError as caught:
            refusal = caught
        else:
            assert outcome.data_out == bytes(size)
            pytest.skip("this kernel takes frames of any length")
    assert str(refusal) == (
        "error[test-run-failed]: cannot test-run program 'pass': a frame has at least 14 bytes "
        f"(an Ethernet header); got {size} (EINVAL)"
    )
    assert refusal.errno == errno.EINVAL


def test_run_loads_runs_and_leaves_nothing() -> None:
    before = descriptors()
    program = counting().programs["count"]
    outcome = run(program, FRAME, maps={"counts": {0: 41}})
    assert (outcome.retval, outcome.engine, outcome.maps) == (
        2,
        "kernel",
        {"counts": {0: 42, 1: 0}},
    )
    assert descriptors() == before


def test_run_refuses_maps_that_the_program_has_not() -> None:
    program = counting().programs["count"]
    with pytest.raises(LoadError, match="program 'count' has no map 'other'"):
        run(program, FRAME, maps={"other": {}})


def test_a_program_type_without_test_runs_is_not_supported() -> None:
    spec = replace(passing().programs["pass"], type="kprobe", section="")
    with load(collect([spec])) as live, pytest.raises(NotSupported, match="type kprobe"):
        live.programs["pass"].test_run()


@pytest.mark.tool("bpftool")
def test_a_pin_keeps_the_program() -> None:
    place = Path("/sys/fs/bpf/ebpfasm-test-pin")
    try:
        with load(passing()) as live:
            live.programs["pass"].pin(place)
            number = live.programs["pass"].id
            with pytest.raises(LoadError, match=r"there is something already \(EEXIST\)"):
                live.programs["pass"].pin(place)
        assert bpftool("prog", "show", "pinned", place)["id"] == number
    finally:
        place.unlink(missing_ok=True)


def test_a_pin_belongs_into_a_bpf_file_system(tmp_path: Path) -> None:
    with load(passing()) as live, pytest.raises(LoadError, match="not in a BPF file system"):
        live.programs["pass"].pin(tmp_path / "pin")


# ---- test runs of other kinds


CONTEXT = """
.license "GPL"
.section {section}
main:
    {body}
    r0 = {result}
    exit
"""


def struct_size(name: str) -> int:
    """In bytes, as this kernel has it."""
    types = kernel_btf.vmlinux()
    (number,) = types.find(Struct, name)
    found = types.get(number)
    assert isinstance(found, Struct)
    return found.size


def test_a_context_comes_in_and_goes_out() -> None:
    # __sk_buff.mark, the third word, comes back one larger.
    body = "r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2"
    text = CONTEXT.format(section="tc", body=body, result=0)
    with load(assemble(text)) as live:
        size = struct_size("__sk_buff")
        context = bytearray(size)
        context[8] = 41
        for _ in range(2):
            out = live.programs["main"].test_run(FRAME, ctx=bytes(context)).ctx_out
            assert (len(out), out[8]) == (size, 42)


@pytest.mark.needs("syscall programs")
def test_a_syscall_programs_context_is_changed_in_place() -> None:
    body = "r2 = *(u64 *)(r1 + 0); r2 += 1; *(u64 *)(r1 + 8) = r2"
    text = CONTEXT.format(section="syscall", body=body, result=7)
    with load(assemble(text)) as live:
        for _ in range(2):  # the second run begins with the first one's context again
            outcome = live.programs["main"].test_run(ctx=struct.pack("=QQ", 41, 0))
            assert (outcome.retval, outcome.data_out) == (7, b"")
            assert struct.unpack("=QQ", outcome.ctx_out) == (41, 42)


def test_a_raw_tracepoint_program_runs_on_the_cpu_that_is_asked_for() -> None:
    text = CONTEXT.format(section="raw_tp", body="call bpf_get_smp_processor_id", result="r0")
    with load(assemble(text)) as live:
        program = live.programs["main"]
        for cpu in os.sched_getaffinity(0):
            assert program.test_run(cpu=cpu).retval == cpu
        with pytest.raises(LoadError, match=r"CPU 4095 is not online \(ENXIO\)"):
            program.test_run(cpu=4095)


@pytest.mark.needs("test runs that check what they are given")
def test_a_cpu_is_not_for_other_programs() -> None:
    with load(passing()) as live, pytest.raises(LoadError, match="only raw_tracepoint ones"):
        live.programs["pass"].test_run(FRAME, cpu=0)


@pytest.mark.needs("live frames")
def test_live_frames_go_where_the_verdict_says() -> None:
    with load(counting()) as live:
        program = live.programs["count"]
        outcome = program.test_run(FRAME, repeat=100, live_frames=True, batch_size=8)
        assert outcome.data_out == b""
        assert live.maps["counts"][0] == 100
        with pytest.raises(LoadError, match="test-run-failed"):
            program.test_run(FRAME, batch_size=8)


@pytest.mark.parametrize("data", [bytearray(FRAME), memoryview(FRAME), FRAME])
def test_frames_may_be_any_bytes(data: bytes) -> None:
    with load(passing()) as live:
        assert live.programs["pass"].test_run(data).data_out == FRAME


def test_runs_of_all_kinds_and_sizes_follow_each_other() -> None:
    with load(passing()) as live:
        program = live.programs["pass"]
        for size in (14, 3000, 60, 1500):
            for repeat in (1, 3):
                frame = os.urandom(size)
                assert program.test_run(frame, repeat=repeat).data_out == frame
        assert program.test_run(FRAME, data_out_size=60).data_out == FRAME


def test_threads_do_not_share_buffers() -> None:
    with load(passing()) as live:
        program = live.programs["pass"]

        def run(number: int) -> bool:
            frame = bytes([number]) * 200
            return all(program.test_run(frame).data_out == frame for _ in range(200))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(run, range(16)))


def test_both_paths_into_the_kernel_say_the_same() -> None:
    with load(counting()) as live:
        program = live.programs["count"]
        settings = testrun.Settings(room=200)
        found = []
        for runner in (testrun._Plain(program.fd, False), testrun.runner(program.fd, "xdp")):
            runner.prepare(settings, b"", 200)
            found.append(runner.run(FRAME)[:2])
            runner.prepare(testrun.Settings(room=10), b"", 200)
            with pytest.raises(OSError, match="No space"):
                runner.run(FRAME)
            assert runner.needed == len(FRAME)
        assert found == [(2, FRAME), (2, FRAME)]


def test_outcomes_stay_as_they_are_while_the_program_goes_on_running() -> None:
    with load(counting()) as live:
        program = live.programs["count"]
        frames = [bytes([n]) * 64 for n in range(10)]
        kept = [program.test_run(frame) for frame in frames]
        said = [(each.retval, each.data_out, each.duration_ns, each.ctx_out) for each in kept]
        for n in range(100):  # those that nobody keeps are written anew
            program.test_run(bytes([n]) * 32)
        assert [tuple(each) for each in kept] == said
        assert [each.data_out for each in kept] == frames
        assert type(kept[0]) is TestRun


@pytest.mark.needs("test runs that check what they are given")
def test_test_runs_leave_nothing_behind() -> None:
    with load(counting()) as live:
        program = live.programs["count"]
        before: list[TestRun | None] = [None] * 3

        def run(times: int) -> None:
            for n in range(times):
                before[n % 3] = program.test_run(FRAME)
                program.test_run(bytes([n & 255]) * 64)
                program.test_run_each([FRAME, bytes(60)])
                with pytest.raises(LoadError):
                    program.test_run(b"short")

        def references() -> int:
            gc.collect()
            return sys.getrefcount(FRAME)

        run(100)
        tracemalloc.start()
        held, (size, _) = references(), tracemalloc.get_traced_memory()
        run(2000)
        assert references() == held
        grown = tracemalloc.get_traced_memory()[0] - size
        tracemalloc.stop()
        assert grown < 20_000


def test_the_methods_text_is_that_of_the_source() -> None:
    said = inspect.signature(Program.test_run)
    assert list(said.parameters) == [
        "self", "data", "repeat", "ctx", "data_out_size", "cpu", "live_frames", "batch_size",
    ]  # fmt: skip
    assert said.parameters["data"].default == b""
    assert said.parameters["repeat"].kind is inspect.Parameter.KEYWORD_ONLY
    assert (Program.test_run.__doc__ or "").startswith("Run the program on a frame or context")


def test_a_closed_program_does_not_run() -> None:
    with load(passing()) as live:
        program = live.programs["pass"]
        program.test_run(FRAME)
    with pytest.raises(ValueError, match="Program is closed"):
        program.test_run(FRAME)


@pytest.mark.tool("bpftool")
def test_machine_code_is_as_long_as_bpftool_says() -> None:
    with load(counting()) as live, load(passing()) as other:
        codes = []
        for program in (live.programs["count"], other.programs["pass"]):
            shown = bpftool("prog", "show", "id", program.id)
            codes.append(program.jited())
            assert len(codes[-1]) == shown.get("bytes_jited", 0)
        assert codes[0] != codes[1] or not any(codes)


@pytest.mark.parametrize("native", [True, False])
def test_many_frames_in_one_go_are_as_one_by_one(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
    # Cuts four bytes off the front, so frames differ in and out.
    text = (
        '.license "GPL"\n.section xdp\nmain:\n r2 = 4\n call bpf_xdp_adjust_head\n r0 = 2\n exit\n'
    )
    frames = [os.urandom(size) for size in range(60, 1500, 7)]
    with load(assemble(text)) as live:
        program = live.programs["main"]
        found = program.test_run_each(frames)
        assert [each.data_out for each in found] == [frame[4:] for frame in frames]
        assert list(found.retvals) == [2] * len(frames)
        assert found[-1] == found[len(frames) - 1]
        assert [each.retval for each in found[:3]] == [2, 2, 2]
        assert len(found.durations_ns) == len(found) == len(frames)
        assert len(program.test_run_each([])) == 0


def test_more_frames_than_fit_one_call_are_counted_once() -> None:
    with load(counting()) as live:
        found = live.programs["count"].test_run_each([FRAME] * 10_000)
        assert (len(found), live.maps["counts"][0]) == (10_000, 10_000)


@pytest.mark.needs("test runs that check what they are given")
def test_a_frame_that_cannot_be_run_ends_it() -> None:
    with load(counting()) as live:
        program = live.programs["count"]
        with pytest.raises(LoadError, match="a frame has at least 14 bytes"):
            program.test_run_each([FRAME, FRAME, b"short", FRAME])
        assert live.maps["counts"][0] == 2


def test_a_frame_that_a_program_changes_comes_out_changed_each_time() -> None:
    source = (
        ".section xdp\nmark:\n r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r4 = r2\n r4 += 14\n"
        " r0 = 1\n if r4 > r3 goto out\n r0 = *(u8 *)(r2 + 0)\n r0 ^= 1\n *(u8 *)(r2 + 0) = r0\n"
        " r0 = 2\nout:\n exit\n"
    )
    with load(assemble(source)) as live:
        program = live.programs["mark"]
        frames = [FRAME, FRAME, b"\x01" + FRAME[1:], FRAME + b"more", FRAME]
        outcomes = [program.test_run(frame) for frame in frames]
    assert [(each.retval, each.data_out) for each in outcomes] == [
        (2, bytes([frame[0] ^ 1]) + frame[1:]) for frame in frames
    ]


def test_a_long_run_and_the_short_ones_behind_it_say_the_same() -> None:
    # A long frame costs a hundred thousand rounds.
    source = (
        ".section xdp\nrounds:\n r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r3 -= r2\n"
        " r0 = 2\n if r3 < 1000 goto out\n r1 = 0\nagain:\n r1 += 1\n"
        " if r1 < 100000 goto again\n r0 = 1\nout:\n exit\n"
    )
    with load(assemble(source)) as live:
        program = live.programs["rounds"]
        long = FRAME.ljust(1200, b"x")
        outcomes = [program.test_run(frame) for frame in (FRAME, long, long, FRAME, FRAME)]
    assert [each.retval for each in outcomes] == [2, 1, 1, 2, 2]
    assert [each.data_out for each in outcomes] == [FRAME, long, long, FRAME, FRAME]
