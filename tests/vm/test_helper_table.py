"""Every helper has a place: in the documentation's table, and before a judge."""

from __future__ import annotations

import re

from ebpfasm.analysis.vm.helpers import HELPERS
from ebpfasm.analysis.vm.helpers.registry import table
from ebpfasm.isa import helpers
from ebpfasm.isa.availability import BY_PROGRAM_TYPE
from tests.support import ROOT
from tests.vm.test_helpers_kernel import ALL

PAGE = ROOT / "docs" / "vm.md"
BEGIN, END = "<!-- helpers: --bless writes them -->\n", "<!-- end of helpers -->"

# Program types that BPF_PROG_TEST_RUN runs.
TESTABLE = (
    "socket_filter", "sched_cls", "sched_act", "xdp", "cgroup_skb", "lwt_in", "lwt_out",
    "lwt_xmit", "lwt_seg6local", "flow_dissector", "sk_lookup", "raw_tracepoint", "netfilter",
    "syscall",
)  # fmt: skip

# Where the kernel judges other than in the cases, or why it cannot.
ELSEWHERE = {
    **dict.fromkeys(
        ("get_current_pid_tgid", "get_current_uid_gid", "get_current_comm", "get_numa_node_id",
         "fib_lookup", "tcp_gen_syncookie", "tcp_check_syncookie"),
        "test_surroundings.py",
    ),
    **dict.fromkeys(
        ("spin_lock", "spin_unlock", "timer_init", "timer_set_callback", "timer_start",
         "timer_cancel", "kptr_xchg", "cgrp_storage_get", "cgrp_storage_delete"),
        "test_objects.py",
    ),
    **dict.fromkeys(
        ("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns",
         "jiffies64", "get_prandom_u32", "get_smp_processor_id", "get_current_task",
         "get_socket_cookie", "get_netns_cookie", "get_current_cgroup_id", "set_hash_invalid",
         "get_func_ip"),
        "what a kernel answers is another number each time",
    ),
    **dict.fromkeys(
        ("per_cpu_ptr", "this_cpu_ptr", "task_pt_regs", "sock_from_file", "sys_close",
         "skb_output", "xdp_output"),
        "it takes the kernel's own objects",
    ),
    **dict.fromkeys(("send_signal", "send_signal_thread"), "it would signal the tests"),
    "tail_call": "test_world.py",
    "get_local_storage": "a test run is attached to no cgroup",
    "probe_write_user": "it warns in the kernel's log, and a locked down kernel has none",
}  # fmt: skip


def test_the_documentation_says_which_helpers_there_are(bless: bool) -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = f"{before}{BEGIN}\n{table()}\n\n{END}{after}"
    if bless:
        PAGE.write_text(written)
    assert PAGE.read_text() == written


def test_the_kernel_judges_every_helper_that_it_can_be_asked_for() -> None:
    called = {name for case in ALL for name in re.findall(r"call bpf_(\w+)", case.text)}
    askable = {name for kind in TESTABLE for name in BY_PROGRAM_TYPE.get(kind, ())}
    ours = {helpers.BY_ID[number].name.removeprefix("bpf_") for number in HELPERS} | {"tail_call"}
    assert (askable & ours) - called == ELSEWHERE.keys() & askable
    assert not ELSEWHERE.keys() & called
