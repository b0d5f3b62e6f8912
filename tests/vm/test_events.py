"""What programs send to user space: the same records out of the kernel and out of the machine."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Event, frames
from ebpfasm.runtime.running.anywhere import open_anywhere
from ebpfasm.runtime.running.once import Engine, run
from tests.support import need_native

TEXT = """.license "GPL"
.map r, ringbuf, max_entries=4096
.map e, perf_event_array, key=u32, value=u32, max_entries=64
.section xdp
m: r6 = r1
r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve
if r0 == 0 goto out
*(u64 *)(r0 + 0) = 5
r1 = r0; r2 = 0; call bpf_ringbuf_submit
*(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 8) = 7
r1 = r ll; r2 = r10; r2 += -16; r3 = 11; r4 = 0; call bpf_ringbuf_output
r1 = r6; r2 = e ll; r3 = 0xffffffff ll; r4 = r10; r4 += -16; r5 = 12
call bpf_perf_event_output
out: exit"""


def told(result: ebpfasm.RunResult) -> list[tuple[str, str, bytes]]:
    """Events as far as both engines tell them."""
    assert result.events is not None
    return [(each.kind, each.map, each.data) for each in result.events]


@pytest.mark.kernel
def test_records_of_the_kernel_are_those_of_the_machine() -> None:
    need_native()
    spec = ebpfasm.assemble(TEXT).programs["m"]
    kernel, ours = (run(spec, frames.udp(), engine=engine) for engine in ENGINES)
    assert (kernel.retval, ours.retval) == (0, 0)
    assert told(kernel)[:2] == told(ours)[:2]
    # Behind 4 bytes of length, a perf record is filled up to a multiple of 8: 12 are there already.
    assert told(kernel)[2] == told(ours)[2]
    assert kernel.printk is None
    assert (len(told(kernel)), len(told(ours))) == (3, 3)


ENGINES: tuple[Engine, Engine] = ("kernel", "vm")


@pytest.mark.kernel
def test_each_run_has_its_own_records() -> None:
    need_native()
    for engine in ENGINES:
        with open_anywhere(ebpfasm.assemble(TEXT), engine) as opened:
            first, second = (opened.run("m", frames.udp()) for _ in range(2))
            assert told(first) == told(second)
            assert len(told(first)) == 3


@pytest.mark.kernel
def test_a_program_without_rings_sends_nothing() -> None:
    spec = ebpfasm.assemble(".section xdp\nm: r0 = 2; exit").programs["m"]
    assert run(spec, frames.udp(), engine="kernel").events == ()


def test_records_from_user_space_are_drained() -> None:
    text = """.map u, user_ringbuf, max_entries=4096
    .map a, array, key=u32, value=u64, max_entries=1
    .section xdp
    m: *(u64 *)(r10 - 8) = 0
    r1 = u ll; r2 = each ll; r3 = r10; r3 += -8; r4 = 0; call bpf_user_ringbuf_drain
    r9 = r0; r9 *= 1000; r1 = *(u64 *)(r10 - 8); r9 += r1; r0 = r9
    exit
    .text
    each: r6 = r1; r7 = r2; *(u64 *)(r10 - 8) = 0
    r1 = r10; r1 += -8; r2 = 4; r3 = r6; r4 = 0; r5 = 0; call bpf_dynptr_read
    if r0 != 0 goto stop
    r1 = *(u64 *)(r10 - 8); r2 = *(u64 *)(r7 + 0); r2 += r1; *(u64 *)(r7 + 0) = r2
    r0 = 0
    if r1 != 9 goto out
    stop: r0 = 1
    out: exit"""
    spec = ebpfasm.assemble(text).programs["m"]
    for native in (True, False):
        machine = ebpfasm.virtual_machine(spec, native=native)
        for each in (5, 9, 7):
            machine.maps["u"].send(each.to_bytes(4, "little"))  # type: ignore[attr-defined]
        assert [machine.execute(bytes(64)) for _ in range(3)] == [2014, 1007, 0]
        machine.maps["u"].send(b"ab")  # type: ignore[attr-defined]
        assert machine.execute(bytes(64)) == 1000
        with pytest.raises(ebpfasm.LoadError, match="it is full"):
            machine.maps["u"].send(bytes(5000))  # type: ignore[attr-defined]


def test_events_of_the_machine_say_more() -> None:
    found = run(ebpfasm.assemble(TEXT).programs["m"], frames.udp(), engine="vm")
    assert found.events is not None
    assert found.events[0] == Event("ringbuf", "r", (5).to_bytes(8, "little"))
    assert found.events[2].flags == 0xFFFFFFFF
