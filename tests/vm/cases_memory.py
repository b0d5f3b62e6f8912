"""Programs with dynptrs, storage, stacks, counters and the like, for the kernel to judge."""

from __future__ import annotations

from tests.vm.cases import Case, tc, with_maps, xdp

_VALUE = ".map a, array, key=u32, value_size=32, max_entries=1"
_RING = ".map r, ringbuf, max_entries=4096"
_MAPPED = (
    "*(u32 *)(r10 - 4) = 0; r1 = a ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem\n"
    "if r0 == 0 goto none\nr7 = r0\n"
)
_NONE = "\nnone: r0 = 1111; exit"


def _dynptr(name: str, body: str) -> Case:
    """A dynptr at r10 - 24 about 24 bytes of a map's value, r9 what making it said."""
    make = (
        "r1 = r7; r2 = 24; r3 = {flags}; r4 = r10; r4 += -24; call bpf_dynptr_from_mem; r9 = r0\n"
    )
    flags = "1" if name.endswith("flags") else "0"
    case = tc(name, _MAPPED + make.format(flags=flags) + body + "r0 = r9; exit" + _NONE)
    return with_maps(case, _VALUE)


def _write(offset: int, length: int, flags: int = 0) -> str:
    return (
        f"*(u64 *)(r10 - 40) = 0x01020304; *(u64 *)(r10 - 32) = 0x05060708\n"
        f"r1 = r10; r1 += -24; r2 = {offset}; r3 = r10; r3 += -40; r4 = {length}; r5 = {flags}\n"
        "call bpf_dynptr_write; r9 *= 1000; r9 += r0\n"
    )


def _read(offset: int, length: int, flags: int = 0) -> str:
    return (
        "*(u64 *)(r10 - 40) = -1; *(u64 *)(r10 - 32) = -1\n"
        f"r1 = r10; r1 += -40; r2 = {length}; r3 = r10; r3 += -24; r4 = {offset}; r5 = {flags}\n"
        "call bpf_dynptr_read; r9 *= 1000; r9 += r0\n"
        "r1 = *(u64 *)(r10 - 40); r9 ^= r1; r1 = *(u64 *)(r10 - 32); r9 ^= r1\n"
    )


def _data(offset: int, length: int) -> str:
    return (
        f"r1 = r10; r1 += -24; r2 = {offset}; r3 = {length}; call bpf_dynptr_data\n"
        "if r0 == 0 goto no_data\n*(u8 *)(r0 + 3) = 9; r9 += 7\nno_data:\n"
    )


def _ring(name: str, size: int, flags: int, body: str, end: str = "submit") -> Case:
    text = (
        f"r1 = r ll; r2 = {size}; r3 = {flags}; r4 = r10; r4 += -24\n"
        f"call bpf_ringbuf_reserve_dynptr; r9 = r0\n{body}"
        f"r1 = r10; r1 += -24; r2 = 0; call bpf_ringbuf_{end}_dynptr\nr0 = r9; exit"
    )
    return with_maps(xdp(name, text), _RING)


DYNPTRS = [
    _dynptr("dynptr written and read", _write(3, 12) + _read(5, 16)),
    _dynptr("dynptr written past its end", _write(16, 12)),
    _dynptr("dynptr read past its end", _read(9, 16)),
    _dynptr("dynptr read from nowhere", _read(999, 16)),
    _dynptr("dynptr written with a flag set", _write(0, 8, 1)),
    _dynptr("dynptr read with a flag set", _read(0, 8, 1)),
    _dynptr("dynptr's data", _data(4, 8)),
    _dynptr("dynptr's data past its end", _data(20, 8)),
    _dynptr("dynptr made with flags", _write(0, 8) + _read(0, 8) + _data(0, 8)),
    _ring("dynptr of a record", 16, 0, _write(3, 12) + _read(0, 16)),
    _ring("dynptr of a record with flags set", 16, 1, _write(3, 12)),
    _ring("dynptr of no room", 8192, 0, _write(3, 12)),
    _ring("dynptr of a record forgotten", 16, 0, _data(0, 8), "discard"),
]

_EVENTS = ".map e, perf_event_array, max_entries=4"
_STACKS = ".map s, stack_trace, key=u32, value_size=64, max_entries=16"

_OTHERS = [
    with_maps(
        tc("counter of nothing", "r1 = e ll; r2 = 0; call bpf_perf_event_read; exit"), _EVENTS
    ),
    with_maps(
        tc("counter past the end", "r1 = e ll; r2 = 9; call bpf_perf_event_read; exit"), _EVENTS
    ),
    with_maps(
        tc(
            "counter with flags",
            "r1 = e ll; r2 = 1; r2 <<= 40; call bpf_perf_event_read; exit",
        ),
        _EVENTS,
    ),
    with_maps(
        tc(
            "counter's values of nothing",
            "*(u64 *)(r10 - 24) = -1; *(u64 *)(r10 - 16) = -1; *(u64 *)(r10 - 8) = -1\n"
            "r1 = e ll; r2 = 0; r3 = r10; r3 += -24; r4 = 24; call bpf_perf_event_read_value\n"
            "r1 = *(u64 *)(r10 - 16); r0 += r1; exit",
        ),
        _EVENTS,
    ),
    with_maps(
        xdp(
            "sample with unknown flags",
            "*(u64 *)(r10 - 8) = 1; r1 = r6; r2 = e ll; r3 = 1; r3 <<= 60; r4 = r10; r4 += -8\n"
            "r5 = 8; call bpf_perf_event_output; exit",
        ),
        _EVENTS,
    ),
    with_maps(
        xdp(
            "sample past the frame",
            "*(u64 *)(r10 - 8) = 1; r1 = r6; r2 = e ll; r3 = 999; r3 <<= 32; r4 = r10; r4 += -8\n"
            "r5 = 8; call bpf_perf_event_output; exit",
        ),
        _EVENTS,
    ),
    tc("cgroup of the root", "r1 = 0; call bpf_get_current_ancestor_cgroup_id; exit"),
    tc("cgroup too deep", "r1 = 99; call bpf_get_current_ancestor_cgroup_id; exit"),
    tc("no branches", "r1 = r10; r1 += -24; r2 = 24; r3 = 1; call bpf_get_branch_snapshot; exit"),
    with_maps(
        tc(
            "task under no cgroup",
            "r1 = c ll; r2 = 1; call bpf_current_task_under_cgroup; r9 = r0; r9 *= 100\n"
            "r1 = c ll; r2 = 7; call bpf_current_task_under_cgroup; r9 += r0\n"
            "r1 = r6; r2 = c ll; r3 = 1; call bpf_skb_under_cgroup; r9 *= 100; r9 += r0\n"
            "r1 = r6; r2 = c ll; r3 = 7; call bpf_skb_under_cgroup; r9 *= 100; r9 += r0\n"
            "r0 = r9; exit",
        ),
        ".map c, cgroup_array, key=u32, value=u32, max_entries=4",
    ),
    tc(
        "task in no such namespace",
        "*(u64 *)(r10 - 8) = -1; r1 = 1; r2 = 2; r3 = r10; r3 += -8; r4 = 8\n"
        "call bpf_get_ns_current_pid_tgid; r1 = *(u64 *)(r10 - 8); r0 += r1; exit",
    ),
]

_SYSCALL = '.license "GPL"\n{{maps}}\n.section syscall\nmain:\nr6 = r1\n{body}'
SYSCALLS = [
    Case(
        "no such symbol",
        _SYSCALL.format(
            body="r1 = 0x006f6e5f6f6e ll; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = -1\n"
            "r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = r10; r4 += -16\n"
            "call bpf_kallsyms_lookup_name; r1 = *(u64 *)(r10 - 16); r0 += r1; exit"
        ),
        b"",
        "syscall",
    ),
    Case(
        "symbol with flags",
        _SYSCALL.format(
            body="r1 = 0x006f6e5f6f6e ll; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = -1\n"
            "r1 = r10; r1 += -8; r2 = 8; r3 = 1; r4 = r10; r4 += -16\n"
            "call bpf_kallsyms_lookup_name; exit"
        ),
        b"",
        "syscall",
    ),
]

OTHERS = _OTHERS
