"""Programs of types that see no plain packet, or see it otherwise, for the kernel to judge."""

from __future__ import annotations

from typing import Any

from tests.vm.cases import Case, tc, with_maps, xdp
from tests.vm.cases_network import skb


def _plain(section: str, type: str, name: str, body: str, **more: Any) -> Case:
    text = f'.license "GPL"\n{{maps}}\n.section {section}\nmain:\nr6 = r1\n{body}'
    return Case(name, text, data=b"", type=type, **more)


def _traced(name: str, body: str) -> Case:
    return _plain("raw_tp/sched_switch", "raw_tracepoint", name, body)


_FLOW = (
    "r7 = *(u64 *)(r6 + 144); r2 = *(u32 *)(r6 + 76); r3 = *(u32 *)(r6 + 80)\n"
    "r4 = r2; r4 += 34\nif r4 > r3 goto none\n"
)
_KEYS = (
    "r0 = *(u16 *)(r7 + 0); r1 = *(u16 *)(r7 + 2); r0 *= 100; r0 += r1\n"
    "r1 = *(u16 *)(r7 + 10); r0 ^= r1\n"
)

FLOWS = [
    skb("flow keys at first", "flow_dissector", "flow_dissector", _FLOW + "r0 = 0; exit\n"
                                                                          "none: r0 = 2; exit"),
    skb(
        "flow keys filled in", "flow_dissector", "flow_dissector",
        _FLOW + "r5 = *(u8 *)(r2 + 23); *(u8 *)(r7 + 9) = r5; *(u16 *)(r7 + 2) = 34\n"
        "r5 = *(u32 *)(r2 + 26); *(u32 *)(r7 + 16) = r5; *(u32 *)(r7 + 48) = 7\n"
        "r0 = 0; exit\nnone: r0 = 2; exit",
    ),
    skb(
        "flow keys out of the packet", "flow_dissector", "flow_dissector",
        _FLOW + "*(u16 *)(r7 + 0) = 3; *(u16 *)(r7 + 2) = 999; r0 = 0; exit\nnone: r0 = 2; exit",
    ),
]  # fmt: skip

_SK_LOOKUP = {"family": 2, "protocol": 6, "remote_ip4": 0x0A000002, "remote_port": 4000,
              "local_ip4": 0x0A000001, "local_port": 80}  # fmt: skip


def _lookup(name: str, body: str) -> Case:
    return _plain("sk_lookup", "sk_lookup", name, body, ctx=_SK_LOOKUP)


LOOKUPS = [
    _lookup("lookup's fields", "r0 = *(u32 *)(r6 + 8); r1 = *(u32 *)(r6 + 12); r0 *= 10; r0 += r1\n"
            "r1 = *(u32 *)(r6 + 60)\nif r1 != 80 goto no\nif r0 != 26 goto no\nr0 = 1; exit\n"
            "no: r0 = 0; exit"),
    _lookup("lookup's addresses", "r1 = *(u32 *)(r6 + 16); r2 = *(u32 *)(r6 + 40); "
                                  "r3 = *(u16 *)(r6 + 36)\n"
            "r1 &= 0xff; r2 >>= 24; r2 &= 0xff\nif r1 != 10 goto no\nif r2 != 1 goto no\n"
            "if r3 != 0xa00f goto no\nr0 = 1; exit\nno: r0 = 0; exit"),
    _lookup("nothing picked", "r1 = *(u64 *)(r6 + 0)\nr0 = 1\nif r1 == 0 goto out\nr0 = 0\n"
                              "out: exit"),
    _lookup("assign nothing", "r1 = r6; r2 = 0; r3 = 0; call bpf_sk_assign\n"
                              "if r0 != 0 goto no\nr0 = 1; exit\nno: r0 = 0; exit"),
    _lookup("assign with unknown flags",
            "r1 = r6; r2 = 0; r3 = 4; call bpf_sk_assign\nif r0 != -22 goto no\nr0 = 1; "
            "exit\nno: r0 = 0; exit"),
]  # fmt: skip

_COMMON = "r7 = *(u64 *)(r6 + 168)\nif r7 == 0 goto none\n"
CGROUPS = [
    skb("cgroup of a packet", "cgroup_skb/ingress", "cgroup_skb",
        "r1 = r6; call bpf_skb_cgroup_id; r9 = r0; r1 = r6; r2 = 0\n"
        "call bpf_skb_ancestor_cgroup_id; r9 -= r0; r0 = r9; r0 &= 1; exit"),
    skb("cgroup of a socket", "cgroup_skb/ingress", "cgroup_skb",
        _COMMON + "r1 = r7; call bpf_sk_fullsock; if r0 == 0 goto none\nr7 = r0\n"
        "r1 = r7; call bpf_sk_cgroup_id; r9 = r0; r1 = r7; r2 = 0\n"
        "call bpf_sk_ancestor_cgroup_id; r9 -= r0; r1 = r7; r2 = 9\n"
        "call bpf_sk_ancestor_cgroup_id; r9 += r0; r0 = r9; r0 &= 1; exit\nnone: r0 = 0; exit"),
    skb("priority of a packet", "cgroup_skb/egress", "cgroup_skb",
        "r1 = 7; *(u32 *)(r6 + 32) = r1; *(u32 *)(r6 + 8) = r1; r0 = 1; exit", ctx={"mark": 3}),
    skb("packet of a lightweight tunnel", "lwt_out", "lwt_out",
        "r2 = *(u32 *)(r6 + 76); r3 = *(u32 *)(r6 + 80); r4 = r2; r4 += 10\nif r4 > r3 goto none\n"
        "r0 = *(u8 *)(r2 + 9); exit\nnone: r0 = 0; exit"),
]  # fmt: skip

_STACKS = ".map s, stack_trace, key=u32, value_size=64, max_entries=16"
TRACED = [
    _traced("read what is not there",
            "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 4; r3 = 0; call bpf_probe_read\n"
            "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"),
    _traced("read a user string that is not there",
            "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; "
            "call bpf_probe_read_user_str\n"
            "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"),
    _traced("read a kernel string that is not there",
            "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; "
            "call bpf_probe_read_kernel_str\n"
            "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"),
    _traced("read user memory that is not there",
            "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; call bpf_probe_read_user\n"
            "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"),
    _traced("read a string that is not there",
            "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 8; r3 = 0; call bpf_probe_read_str\n"
            "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"),
    _traced("no cookie of an attachment", "r1 = r6; call bpf_get_attach_cookie; exit"),
    *(
        _traced(f"stack into {size} bytes with flags {flags:#x}",
                "*(u64 *)(r10 - 16) = -1; *(u64 *)(r10 - 8) = -1\n"
                f"r1 = r6; r2 = r10; r2 += -16; r3 = {size}; r4 = {flags}; call bpf_get_stack\n"
                f"r9 = r0\n{check}r0 = r9; exit")
        for size, flags, check in (
            (16, 1 << 12, "r1 = *(u64 *)(r10 - 8); r9 ^= r1\n"), (12, 0, ""),
            (16, 0xFF, "r1 = *(u64 *)(r10 - 8); r9 ^= r1\n"), (16, 1 << 11, ""),
        )
    ),
    *(
        with_maps(
            _traced(f"stack's id with flags {flags:#x}",
                    f"r1 = r6; r2 = s ll; r3 = {flags}; call bpf_get_stackid; exit"),
            _STACKS,
        )
        for flags in (1 << 12, 0xFF)
    ),
]  # fmt: skip

_SYS = "r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1; r0 = r9; exit"
TASKS = [
    tc("task's area that is not there",
       "call bpf_get_current_task_btf; r1 = r0; r2 = 8; r3 = each ll; r4 = 0; r5 = 0\n"
       "call bpf_find_vma; exit\n.text\neach: r0 = 0; exit"),
    tc("task's area with flags",
       "call bpf_get_current_task_btf; r1 = r0; r2 = 8; r3 = each ll; r4 = 0; r5 = 1\n"
       "call bpf_find_vma; exit\n.text\neach: r0 = 0; exit"),
    tc("task's stack with unknown flags",
       "call bpf_get_current_task_btf; *(u64 *)(r10 - 8) = -1; r1 = r0; r2 = r10; r2 += -8; "
       "r3 = 8\n"
       f"r4 = 0x1000; call bpf_get_task_stack\n{_SYS}"),
    _plain("syscall", "syscall", "user memory that is not there",
           "*(u64 *)(r10 - 8) = -1; r1 = r10; r1 += -8; r2 = 8; r3 = 8; "
           f"call bpf_copy_from_user\n{_SYS}"),
    _plain("syscall", "syscall", "task's memory that is not there",
           "call bpf_get_current_task_btf; *(u64 *)(r10 - 8) = -1; r4 = r0; r1 = r10; r1 += -8\n"
           f"r2 = 8; r3 = 8; r5 = 0; call bpf_copy_from_user_task\n{_SYS}"),
    _plain("syscall", "syscall", "task's memory with flags",
           "call bpf_get_current_task_btf; *(u64 *)(r10 - 8) = -1; r4 = r0; r1 = r10; r1 += -8\n"
           f"r2 = 8; r3 = 8; r5 = 1; call bpf_copy_from_user_task\n{_SYS}"),
    _plain("syscall", "syscall", "lines of an array",
           "*(u64 *)(r10 - 8) = 0x6425; *(u64 *)(r10 - 16) = 5; r1 = r10; r1 += -8; r2 = 3\n"
           "r3 = r10; r3 += -16; r4 = 8; call bpf_trace_vprintk; exit"),
    xdp("line", "*(u64 *)(r10 - 8) = 0x6425; r1 = r10; r1 += -8; r2 = 3; r3 = 51; "
                "call bpf_trace_printk; exit"),
    with_maps(
        xdp("value on a processor",
            "*(u32 *)(r10 - 4) = 1; r1 = p ll; r2 = r10; r2 += -4; r3 = 0; "
            "call bpf_map_lookup_percpu_elem\n"
            "if r0 == 0 goto none\nr0 = *(u64 *)(r0 + 0); r0 += 5; exit\nnone: r0 = 1; exit"),
        ".map p, percpu_array, key=u32, value=u64, max_entries=2",
    ),
    with_maps(
        xdp("value on no processor",
            "*(u32 *)(r10 - 4) = 1; r1 = p ll; r2 = r10; r2 += -4; r3 = 9999; "
            "call bpf_map_lookup_percpu_elem\n"
            "if r0 == 0 goto none\nr0 = *(u64 *)(r0 + 0); r0 += 5; exit\nnone: r0 = 1; exit"),
        ".map p, percpu_array, key=u32, value=u64, max_entries=2",
    ),
]  # fmt: skip

TYPES = [*FLOWS, *LOOKUPS, *CGROUPS, *TRACED, *TASKS]
