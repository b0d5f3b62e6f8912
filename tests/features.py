"""What kernels have: a test marked `needs("kprobes")` runs where it must, and fails if it cannot.

`since` is the first of Debian's kernels whose packages have the feature, which may be later than
the kernel release that brought it, where a configuration option was off. On those kernels
(KERNEL_VM is set by tools/kernel-vm) the table decides, so that a kernel that should have a
feature and lacks it fails its tests. On any other kernel the feature is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import release_of


@dataclass(frozen=True)
class Feature:
    """`here` asks a kernel that is new enough whether it was built with the feature."""

    since: tuple[int, int]
    here: Callable[[], bool]


@cache
def _kernel_types() -> bytes:
    try:
        return Path("/sys/kernel/btf/vmlinux").read_bytes()
    except OSError:
        return b""


def _typed(name: str) -> Callable[[], bool]:
    return lambda: f"\0{name}\0".encode() in _kernel_types()


def _always() -> bool:
    return True


def _kprobes() -> bool:
    return Path("/sys/bus/event_source/devices/kprobe").exists()


def _uprobes() -> bool:
    return Path("/sys/bus/event_source/devices/uprobe").exists()


def _function_tracing() -> bool:
    try:  # where the kernel is locked down it cannot be opened, nor a function be traced
        return bool(Path("/sys/kernel/tracing/available_filter_functions").read_bytes())
    except OSError:
        return False


def _lsm() -> bool:
    try:
        active = Path("/sys/kernel/security/lsm").read_text(encoding="ascii").split(",")
    except OSError:
        return False
    return "bpf" in active and _function_tracing()


# Facts of Debian's packages 5.10, 6.1, 6.12, 6.18 and 7.3: seen loaded, attached and triggered.
FEATURES: dict[str, Feature] = {
    "kprobes": Feature((5, 10), _kprobes),
    "kprobe.multi": Feature((6, 12), _typed("bpf_kprobe_multi_link")),  # FPROBE is off in 6.1
    "kprobe.session": Feature((6, 12), _typed("bpf_kprobe_multi_link")),
    "uprobes": Feature((5, 10), _uprobes),
    "uprobe.multi": Feature((6, 12), _typed("bpf_uprobe_multi_link")),
    "uprobe.session": Feature((6, 18), _typed("bpf_uprobe_multi_link")),
    "fsession": Feature((7, 3), _typed("BPF_TRACE_FSESSION")),
    "fentry.multi": Feature((7, 3), _typed("BPF_TRACE_FENTRY_MULTI")),
    "overwritten rings": Feature((7, 3), _typed("BPF_F_RB_OVERWRITE")),
    "fentry": Feature((5, 10), _function_tracing),
    "lsm": Feature((5, 10), _lsm),
    "sleepable lsm on files": Feature((6, 1), _lsm),
    "lsm_cgroup": Feature((6, 1), _lsm),
    "perf_event links": Feature((6, 1), _always),
    "tracing cookies": Feature((6, 1), _always),
    "raw tracepoint cookies": Feature((6, 12), _always),
    "raw tracepoint cookies told": Feature((6, 18), _always),
    "xdp.frags on veth": Feature((6, 1), _always),
    "busy polling of AF_XDP": Feature((6, 1), _always),  # 5.11
    "AF_XDP packets of several frames": Feature((6, 12), _always),  # 6.6
    "metadata of AF_XDP frames": Feature((6, 12), _always),  # 6.8, and its flag 6.11
    "user ring buffers": Feature((6, 1), _always),  # 6.1
    "instructions of v3": Feature((6, 1), _always),  # atomics: 5.12
    "tracing helpers in all programs": Feature((6, 18), _always),
    "helpers of the current task in all programs": Feature((6, 12), _always),
    "helpers for text in all programs": Feature((6, 1), _always),
    "folded differences of checksums": Feature((6, 18), _always),
    "clocks of time stamps": Feature((6, 12), _always),  # 6.11
    "tunnel keys without a key": Feature((6, 12), _always),
    "tunnel keys with both addresses": Feature((6, 1), _always),  # 5.19
    "contexts after test runs": Feature((6, 1), _always),
    "verdicts of flow dissectors": Feature((6, 1), _always),
    "contexts that are no struct": Feature((6, 12), _always),
    "results of fib_lookup": Feature((6, 1), _always),  # the MTU: 5.12
    "syscall programs": Feature((6, 1), _always),
    "addresses of functions": Feature((6, 1), _always),
    "bloom filters": Feature((6, 1), _always),
    "bpf_task_acquire": Feature((6, 12), _always),
    "live frames": Feature((6, 1), _always),
    "test runs that check what they are given": Feature((6, 1), _always),
    "test runs that show metadata": Feature((6, 1), _always),  # 5.14
    "taking out of hashes": Feature((6, 1), _always),  # 5.14
    "counts of verified instructions": Feature((6, 1), _always),
    "names of BTF": Feature((6, 1), _always),
    "device-bound programs": Feature((6, 12), _typed("bpf_xdp_metadata_rx_timestamp")),
    "tokens": Feature((6, 12), _typed("bpf_token_create")),
    "tcx": Feature((6, 12), _typed("tcx_prog_attach")),
    "netkit": Feature((6, 12), _typed("netkit_prog_attach")),
    "netfilter links": Feature((6, 12), _typed("bpf_nf_link_attach")),
    "migration of requests": Feature((6, 1), _always),
    "sk_skb/verdict": Feature((6, 1), _always),
    "sockmap links": Feature((6, 12), _always),
    "link type of struct_ops": Feature((6, 12), _always),
    "iterators over cgroups": Feature((6, 1), _always),
    # Kernels that are locked down refuse these too.
    "iterators over map elements": Feature((5, 10), _function_tracing),
    "iterators over one task": Feature((6, 1), _always),
    "unix sockets in cgroups": Feature((6, 12), _always),
    # bpftool 7.1 asks in a way that older kernels refuse.
    "cgroups by bpftool": Feature((6, 1), _always),
    "gotox": Feature((6, 19), _typed("bpf_insn_array")),
    "order in cgroups": Feature((6, 18), _always),
}


def unsupported(name: str) -> bool:
    """Whether this kernel may lack a feature: then its tests are skipped."""
    feature = FEATURES[name]
    if release_of(os.environ.get("KERNEL_VM") or os.uname().release) < feature.since:
        return True
    return "KERNEL_VM" not in os.environ and not feature.here()
