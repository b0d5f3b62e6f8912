"""What a test sets and sees: clock, chance, task, printk, events, tail calls, own helpers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Event, RunResult, Task, VirtualMachine
from ebpfasm.native import native_core
from tests.support import ROOT

NATIVE = (False, True) if native_core() is not None else (False,)


def machine(text: str, *, native: bool, name: str = "m", **options: Any) -> VirtualMachine:
    spec = ebpfasm.assemble(text, name="p.s")
    return ebpfasm.virtual_machine(spec.programs[name], native=native, **options)


def result(text: str, *, native: bool, **options: Any) -> RunResult:
    return machine(text, native=native, **options).run(bytes(range(64)))


@pytest.mark.parametrize("native", NATIVE)
def test_the_clock_stands_where_the_test_set_it(native: bool) -> None:
    made = machine(".section xdp\nm: call bpf_ktime_get_ns\nexit", native=native, now=77)
    assert made.execute() == 77
    made.world.now = 99
    assert made.execute() == 99


@pytest.mark.parametrize("native", NATIVE)
def test_random_numbers_are_the_same_for_one_seed(native: bool) -> None:
    text = ".section xdp\nm: call bpf_get_prandom_u32\nexit"
    made = machine(text, native=native, seed=5)
    first = [made.execute() for _ in range(3)]
    assert first == [machine(text, native=False, seed=5).execute(), *first[1:]]
    assert len(set(first)) == 3


@pytest.mark.parametrize("native", NATIVE)
def test_the_task_is_the_one_that_the_test_set(native: bool) -> None:
    text = (
        ".section xdp\nm: r1 = r10; r1 += -16; r2 = 16; call bpf_get_current_comm\n"
        "call bpf_get_current_pid_tgid; r9 = r0; r9 <<= 16\n"
        "r1 = *(u16 *)(r10 - 16); r9 += r1; r0 = r9; exit"
    )
    made = machine(text, native=native)
    made.world.task = Task(pid=3, tgid=2, comm=b"AB")
    assert made.execute() == ((2 << 32 | 3) << 16) + int.from_bytes(b"AB", "little")


@pytest.mark.parametrize("native", NATIVE)
def test_printed_lines_are_kept(native: bool) -> None:
    text = """.license "GPL"
    .section xdp
    m:
    r1 = 0x7825206425203a72 ll
    *(u64 *)(r10 - 16) = r1
    r1 = 0x000a0000 ll
    *(u64 *)(r10 - 8) = 0
    r1 = r10; r1 += -16; r2 = 9; r3 = -5; r4 = 0xabc; r5 = 0
    call bpf_trace_printk
    exit"""
    found = result(text, native=native)
    assert (found.printk, found.retval) == (("r: -5 abc",), 9)


@pytest.mark.parametrize("native", NATIVE)
def test_records_and_samples_are_events_of_the_run(native: bool) -> None:
    text = """.map r, ringbuf, max_entries=4096
    .map e, perf_event_array, max_entries=1
    .map d, devmap, key=u32, value=u32, max_entries=4
    .section xdp
    m: r6 = r1
    r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = 5
    r1 = r0; r2 = 0; call bpf_ringbuf_submit
    *(u64 *)(r10 - 8) = 6
    r1 = r ll; r2 = r10; r2 += -8; r3 = 4; r4 = 0; call bpf_ringbuf_output
    r1 = r6; r2 = e ll; r3 = 0x2ffffffff ll; r4 = r10; r4 += -8; r5 = 4
    call bpf_perf_event_output
    r1 = d ll; r2 = 2; r3 = 1; call bpf_redirect_map
    out: exit"""
    made = machine(text, native=native, maps={"d": {2: 7}})
    found = made.run(bytes(range(64)))
    assert found.retval == 4
    assert found.events == (
        Event("ringbuf", "r", (5).to_bytes(8, "little")),
        Event("ringbuf", "r", b"\x06\0\0\0"),
        Event("perf", "e", b"\x06\0\0\0\x00\x01", flags=0x2FFFFFFFF),
        Event("redirect", "d", key=2, flags=1),
    )
    del made.maps["d"][2]
    again = made.run(bytes(64))
    assert (again.retval, len(again.events or ())) == (1, 3)


@pytest.mark.parametrize("native", NATIVE)
def test_tail_calls_go_on_in_other_programs_33_times(native: bool) -> None:
    text = """.map jumps, prog_array, key=u32, value=u32, max_entries=2
    .map count, array, key=u32, value=u64, max_entries=1
    .section xdp
    m:
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r2 = r10; r2 += -4; r1 = count ll; call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1; lock *(u64 *)(r0 + 0) += r1
    r1 = r6; r2 = jumps ll; r3 = 0; call bpf_tail_call
    out: r0 = 9
    exit
    .section xdp
    other: r0 = 8
    exit"""
    spec = ebpfasm.assemble(text)
    made = ebpfasm.virtual_machine(spec.programs["m"], native=native)
    made.maps["jumps"][0] = spec.programs["m"]
    assert (made.execute(bytes(64)), made.maps["count"][0]) == (9, 34)
    made.maps["jumps"][0] = spec.programs["other"]
    assert made.execute(bytes(64)) == 8
    assert made.maps["jumps"].snapshot() == {0: "other"}


@pytest.mark.parametrize("native", NATIVE)
def test_a_test_gives_its_own_functions_for_helpers(native: bool) -> None:
    text = ".section xdp\nm: r2 = r10; r3 = 64; r4 = 0; call bpf_fib_lookup; r0 += 1; exit"
    seen = []

    def lookup(machine: object, ctx: int, params: int, size: int, flags: int) -> int:
        seen.append((size, flags))
        return 41

    made = machine(text, native=native, functions={"bpf_fib_lookup": lookup})
    assert (made.execute(bytes(64)), seen) == (42, [(64, 0)])
    clock = {"ktime_get_ns": lambda machine: 5}
    text = ".section xdp\nm: call bpf_ktime_get_ns; exit"
    assert machine(text, native=native, functions=clock).execute() == 5


@pytest.mark.parametrize("native", NATIVE)
def test_changes_are_what_the_run_changed(native: bool) -> None:
    text = """.map h, hash, key=u32, value=u64, max_entries=4
    .section xdp
    m: *(u32 *)(r10 - 4) = 1
    r1 = h ll; r2 = r10; r2 += -4; call bpf_map_delete_elem
    *(u32 *)(r10 - 4) = 2; *(u64 *)(r10 - 16) = 9
    r1 = h ll; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; call bpf_map_update_elem
    exit"""
    found = result(text, native=native, maps={"h": {1: 5, 3: 6}})
    assert found.changes == {"h": {1: None, 2: 9}}
    assert found.maps == {"h": {2: 9, 3: 6}}


@pytest.mark.parametrize("native", NATIVE)
def test_a_tracepoints_record_is_raw_bytes(native: bool) -> None:
    text = ".section tracepoint/sched/sched_switch\nm: r0 = *(u32 *)(r1 + 4); exit"
    assert machine(text, native=native).execute(b"\1\2\3\4\5\0\0\0") == 5
    assert machine(text, native=native).execute(ctx=b"\1\2\3\4\6\0\0\0") == 6


def test_context_fields_that_do_not_exist_are_told() -> None:
    spec = ebpfasm.assemble(".section xdp\nm: r0 = 0; exit").programs["m"]
    for ctx, message in (
        ({"mark": 1}, "struct xdp_md has no field 'mark'"),
        ({"rx_queue_index": -1}, "xdp_md.rx_queue_index holds 32 bits; -1 was given"),
        (bytes(25), "the context, struct xdp_md, has 24 bytes; got 25"),
    ):
        with pytest.raises(ebpfasm.VmError) as raised:
            ebpfasm.run(spec, bytes(64), ctx=ctx, engine="vm")
        assert str(raised.value) == f"error[vm-input]: {message}"


def test_a_trace_has_a_step_for_each_instruction() -> None:
    text = ".section xdp\nm: r1 = 5\n*(u16 *)(r10 - 8) = r1\ncall f\nexit\n.text\nf: r0 = r10; exit"
    found = ebpfasm.run(ebpfasm.assemble(text, name="p.s").programs["m"], trace=True)
    steps = [(s.function, s.depth, s.line, s.shown, s.memory, s.stored) for s in found.trace]
    assert steps == [
        ("m", 0, 2, {"r1": "5"}, "", b""),
        ("m", 0, 3, {}, "r10 - 8", b"\5\0"),
        ("m", 0, 4, {"r10": "r10 of call 1"}, "", b""),
        ("f", 1, 7, {"r0": "r10 of call 1"}, "", b""),
        ("f", 1, 7, {"r10": "r10"}, "", b""),
        ("m", 0, 5, {}, "", b""),
    ]
    assert (found.engine, found.instructions) == ("vm", 6)


def test_auto_falls_back_to_the_machine_where_the_kernel_may_not_be_used() -> None:
    spec = ebpfasm.assemble(".section kprobe/x\nm: r0 = 3; exit").programs["m"]
    assert ebpfasm.run(spec).engine == "vm"


def test_the_machine_loads_nothing_that_only_linux_has() -> None:
    code = (
        "import sys, ebpfasm\n"
        "spec = ebpfasm.assemble('.section xdp\\nm: r0 = 2; exit').programs['m']\n"
        "assert ebpfasm.run(spec, bytes(64), engine='vm').retval == 2\n"
        "from ebpfasm.runtime.running import packets\n"
        "names = ('syscall', 'loader', 'maps', 'programs', 'descriptor', 'network', 'attach')\n"
        "linux = {'ebpfasm.runtime.' + name for name in names} | {'pyroute2', 'resource'}\n"
        "print(sorted(linux & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


TIMER = """.license "GPL"
.map t, array, key=u32, value_size=24, max_entries=2
.section xdp
m:
    *(u32 *)(r10 - 4) = 1
    r1 = t ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r1 = r6; r2 = t ll; r3 = 1
    call bpf_timer_init
    r1 = r6; r2 = tick ll
    call bpf_timer_set_callback
    r1 = r6; r2 = 1000; r3 = 0
    call bpf_timer_start
out:
    exit
.text
tick:
    r6 = r3
    r4 = *(u32 *)(r2 + 0)
    r5 = *(u64 *)(r6 + 16)
    r5 += r4
    *(u64 *)(r6 + 16) = r5
    if r5 == 3 goto done
    r1 = r6; r2 = 1000; r3 = 0
    call bpf_timer_start
done:
    r0 = 0
    exit
"""


@pytest.mark.parametrize("native", NATIVE)
def test_timers_fire_when_the_test_lets_time_pass(native: bool) -> None:
    made = machine(TIMER, native=native)
    begin = made.world.now
    assert made.execute(bytes(64)) == 0
    assert [made.advance(500), made.advance(600), made.advance(5000)] == [0, 1, 2]
    assert made.world.now == begin + 6100
    assert made.maps["t"][1][16:] == (3).to_bytes(8, "little")


@pytest.mark.parametrize("native", NATIVE)
def test_a_stopped_run_leaves_no_frame_open(native: bool) -> None:
    text = """.map a, array, key=u32, value=u64, max_entries=1
    .section xdp
    m: r6 = r1; r7 = *(u32 *)(r1 + 0)
    w8 = *(u8 *)(r7 + 0)
    *(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = a ll; call bpf_map_lookup_elem
    r9 = r0; r1 = r9
    if r8 == 1 goto reads
    call deep
    reads: r1 = *(u64 *)(r9 + 0); r0 = *(u64 *)(r1 - 8); exit
    .text
    deep: *(u64 *)(r10 - 8) = 9; *(u64 *)(r1 + 0) = r10; r1 = 0; r0 = *(u64 *)(r1 + 0); exit"""
    made = machine(text, native=native)
    with pytest.raises(ebpfasm.VmError, match="null"):
        made.execute(bytes(64))
    with pytest.raises(ebpfasm.VmError, match="that function has returned"):
        made.execute(b"\1" + bytes(63))
