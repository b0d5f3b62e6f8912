from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.ir import collect
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.run import run
from ebpfasm.runtime.values import possible_cpus
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


def test_other_types_cannot_be_attached_yet() -> None:
    spec = replace(passing().programs["pass"], type="socket_filter", section="")
    with load(collect([spec])) as live, pytest.raises(NotSupported) as refusal:
        live.programs["pass"].attach("lo")
    assert str(refusal.value) == (
        "error[not-supported]: attaching programs of type socket_filter is not supported here\n"
        "   hint: for now ebpfasm attaches xdp programs"
    )


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
