"""What the kernel's refusals mean: an OSError becomes one plain sentence, rights included."""

from __future__ import annotations

import errno
import os
import sys

from ebpfasm.errors import Diagnostic, LoadError, Location, error

ENOTSUPP = 524  # the kernel's own; no C library names it

# Bits of the capability sets in /proc/self/status, from linux/capability.h.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

BPF = ("CAP_BPF",)
NETWORK = ("CAP_BPF", "CAP_NET_ADMIN")
TRACING = ("CAP_BPF", "CAP_PERFMON")

# Program types whose load asks for CAP_NET_ADMIN (is_net_admin_prog_type in kernel/bpf/syscall.c)
# and for CAP_PERFMON (is_perfmon_prog_type).
_NETWORK_TYPES = frozenset({
    "sched_cls", "sched_act", "xdp", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb",
    "sk_msg", "flow_dissector", "cgroup_device", "cgroup_sock", "cgroup_sock_addr",
    "cgroup_sockopt", "cgroup_sysctl", "sock_ops", "netfilter", "ext",
})  # fmt: skip
_TRACING_TYPES = frozenset({
    "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable", "tracing",
    "lsm", "struct_ops", "ext",
})  # fmt: skip


def rights_for(program_type: str) -> tuple[str, ...]:
    """Name the capabilities that loading a program of this type takes.

    >>> rights_for("xdp")
    ('CAP_BPF', 'CAP_NET_ADMIN')
    """
    network = ("CAP_NET_ADMIN",) if program_type in _NETWORK_TYPES else ()
    tracing = ("CAP_PERFMON",) if program_type in _TRACING_TYPES else ()
    return BPF + network + tracing


def name_of(number: int) -> str:
    """Name an errno as the kernel does.

    >>> name_of(95), name_of(524)
    ('EOPNOTSUPP', 'ENOTSUPP')
    """
    own = {errno.EOPNOTSUPP: "EOPNOTSUPP", ENOTSUPP: "ENOTSUPP"}
    return own.get(number) or errno.errorcode.get(number, str(number))


def meaning(number: int) -> str:
    """Say an errno in words.

    >>> meaning(22)
    'Invalid argument (EINVAL)'
    """
    if number == ENOTSUPP:
        return "Operation not supported by the kernel (ENOTSUPP)"
    return f"{os.strerror(number)} ({name_of(number)})"


def refused(
    code: str,
    what: str,
    number: int,
    *,
    why: str = "",
    needs: tuple[str, ...] = (),
    span: Location | None = None,
    hint: str | None = None,
) -> LoadError:
    """Build the LoadError for a system call that failed with errno `number`.

    `what` was attempted ("create map 'stats'"), `why` explains the errno where that is known.
    For EPERM, `needs` are the capabilities that the call takes: the diagnostic is then of the
    code "permission" and says which are missing and what to type.
    """
    if number == errno.EPERM and needs:
        return LoadError(_permission(what, needs, span), errno=number)
    reason = f"{why} ({name_of(number)})" if why else meaning(number)
    return LoadError(error(code, f"cannot {what}: {reason}", span, hint=hint), errno=number)


def _permission(what: str, needs: tuple[str, ...], span: Location | None) -> Diagnostic:
    why = _unprivileged() if "CAP_BPF" in needs else ""
    if _capability_count() <= _CAPABILITIES["CAP_BPF"]:
        needs = ("CAP_SYS_ADMIN",)  # before Linux 5.8 this was all there was
    missing = _missing(needs)
    names = ",".join(each.lower() for each in missing or needs)
    hint = f"run it as root (sudo), or {_giving(names)}"
    if missing:
        message = f"cannot {what}: {_and(missing)} missing{why} (EPERM)"
    elif _in_user_namespace():
        message = (
            f"cannot {what}: {_and(needs)} held only inside a container or user namespace (EPERM)"
        )
        hint = (
            "run it outside, start the container with --privileged, or have a BPF file system hand "
            "the rights on (a BPF token, Linux 6.9)"
        )
    else:
        message = (
            f"cannot {what}: the kernel refuses it though {_and(needs)} held (EPERM); "
            "a lockdown, a seccomp filter or a security module stands in the way"
        )
        hint = "in a container, allow bpf(2) in its seccomp profile; else look at the kernel log"
    return error("permission", message, span, hint=hint)


def _and(names: tuple[str, ...]) -> str:
    joined = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{joined} {'are' if len(names) > 1 else 'is'}"


def _giving(names: str) -> str:
    """How this interpreter gets capabilities, which every script has that it runs."""
    python = os.path.realpath(sys.executable)
    if sys.prefix != sys.base_prefix and python == os.path.abspath(sys.executable):
        return f"type: sudo setcap {names}=ep {python}"
    copied = f"MINE/bin/{os.path.basename(python)}"
    return (
        "give the right to a Python of your own, as every script that it runs will have it: "
        f"python3 -m venv --copies MINE; sudo setcap {names}=ep {copied}"
    )


def _missing(needs: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the capabilities that this process has not; CAP_SYS_ADMIN stands for all."""
    held = _effective()
    if held >> _CAPABILITIES["CAP_SYS_ADMIN"] & 1:
        # It stands in for CAP_BPF and CAP_PERFMON, never for CAP_NET_ADMIN on its own.
        needs = tuple(each for each in needs if each == "CAP_NET_ADMIN")
    return tuple(each for each in needs if not held >> _CAPABILITIES[each] & 1)


def _effective() -> int:
    for line in _lines("/proc/self/status"):
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _capability_count() -> int:
    lines = _lines("/proc/sys/kernel/cap_last_cap")
    return int(lines[0]) + 1 if lines else _CAPABILITIES["CAP_BPF"] + 1


def _unprivileged() -> str:
    value = _lines("/proc/sys/kernel/unprivileged_bpf_disabled")
    return f", and kernel.unprivileged_bpf_disabled is {value[0]}" if value[:1] > ["0"] else ""


def _in_user_namespace() -> bool:
    whole = ["0", "0", "4294967295"]
    lines = _lines("/proc/self/uid_map")
    return bool(lines) and lines[0].split() != whole


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
