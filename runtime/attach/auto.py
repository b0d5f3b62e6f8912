"""Which way of attaching a section names, and what it says of the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import unsupported
from ebpfasm.isa.sections import SectionSpec, resolve
from ebpfasm.runtime.attach.failures import impossible
from ebpfasm.runtime.attach.uprobes import split_target

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable
    from ebpfasm.runtime.links import Link

_Options = dict[str, Any]
_Way = Callable[["Attachable", Any, _Options, str], "Link"]


def attach(program: Attachable, target: Any, options: _Options) -> Link:
    """Attach by the program's section, or its type where it has none. Raises NotSupported."""
    match = resolve(program.spec.section, legacy=True) if program.spec.section else None
    if match is not None and match.program_type == program.type:
        word = _word(match.spec)
        target = (match.target or program.spec.attach_target) if target is None else target
    else:
        word = program.type
        target = program.spec.attach_target if target is None else target
    way = _WAYS.get(word) or _WAYS.get(program.type)
    if way is None:
        hint = _ELSEWHERE.get(program.type)
        kind = program.type or "unknown"
        raise unsupported(f"attaching a program of type {kind}", hint=hint)
    return way(program, target if target != "" else None, options, word)


def _word(spec: SectionSpec) -> str:
    """What a section is called, without the marks for sleepable and writable programs."""
    return spec.name.removesuffix(".s").removesuffix(".w")


def _needed(program: Attachable, target: Any, what: str) -> Any:
    if target is None:
        hint = f"give attach() the {what}; ebpfasm attach has options for it, see its --help"
        raise impossible(program, f"to which {what}?", hint=hint)
    return target


def _xdp(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    if program.spec.attach_type in ("xdp_devmap", "xdp_cpumap"):
        kind = program.spec.attach_type.removeprefix("xdp_")
        raise impossible(program, f"it is for the elements of a {kind}: store it in the map")
    return program.attach_xdp(_needed(program, target, "interface"), **options)


def _tc(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    if program.spec.attach_type in ("tcx_ingress", "tcx_egress"):
        options.setdefault("direction", program.spec.attach_type.removeprefix("tcx_"))
    return program.attach_tc(_needed(program, target, "interface"), **options)


def _netkit(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("end", program.spec.attach_type.removeprefix("netkit_"))
    return program.attach_netkit(_needed(program, target, "interface"), **options)


def _netfilter(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    if target is not None:
        options.setdefault("hook", target)
    return program.attach_netfilter(**options)


def _route(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_route(_needed(program, target, "destination"), **options)


def _socket(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_socket(_needed(program, target, "socket"), **options)


def _sockmap(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_sockmap(_needed(program, target, "map"), **options)


def _netns(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_netns(target, **options)


def _cgroup(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_cgroup(_needed(program, target, "cgroup"), **options)


def _lirc(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_lirc(*([] if target is None else [target]), **options)


def _tracepoint(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    category, _, name = str(_needed(program, target, "tracepoint")).partition("/")
    return program.attach_tracepoint(category, name, **options)


def _raw_tracepoint(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_raw_tracepoint(_needed(program, target, "tracepoint"), **options)


def _kprobe(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("retprobe", word.startswith("kretprobe"))
    return program.attach_kprobe(_needed(program, target, "function"), **options)


def _ksyscall(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("retprobe", word == "kretsyscall")
    return program.attach_ksyscall(_needed(program, target, "system call"), **options)


def _kprobe_multi(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("retprobe", word.startswith("kretprobe"))
    return program.attach_kprobe_multi(_needed(program, target, "functions"), **options)


def _uprobe(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("retprobe", word.startswith("uretprobe"))
    place = str(_needed(program, target, "binary and function"))
    return program.attach_uprobe(*split_target(program, place, "/bin/bash:readline"), **options)


def _uprobe_multi(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    options.setdefault("retprobe", word.startswith("uretprobe"))
    place = str(_needed(program, target, "binary and functions"))
    return program.attach_uprobe_multi(*split_target(program, place, "libc.so.6:mem*"), **options)


def _usdt(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    place = str(_needed(program, target, "binary, provider and name"))
    example = "libc.so.6:libc:memory_heap_new"
    rest, name = split_target(program, place, example)
    return program.attach_usdt(*split_target(program, rest, example), name, **options)


def _perf_event(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_perf_event(*([] if target is None else [target]), **options)


def _tracing(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    _bound(program, target)
    return program.attach_tracing(**options)


def _tracing_multi(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_tracing_multi(_needed(program, target, "functions"), **options)


def _lsm(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    _bound(program, target)
    return program.attach_lsm(**options)


def _bound(program: Attachable, target: Any) -> None:
    bound = program.spec.attach_target
    if target is not None and bound and target != bound:
        message = f"it was loaded for {bound}, and cannot be attached to {target}"
        raise impossible(program, message, hint="the target is chosen when it is loaded")


def _freplace(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    if isinstance(target, str):
        target = None  # the section's, which the loader has seen to
    return program.attach_freplace(target, **options)


def _iter(program: Attachable, target: Any, options: _Options, word: str) -> Link:
    return program.attach_iter(**options)


_ELSEWHERE = {
    "syscall": "nothing calls it but test_run()",
    "struct_ops": "the map that its functions fill in is what is attached",
    "sched_act": "tc adds it as an action of a filter",
}

# By the section's name where it says more than the type, else by the program type.
_WAYS: dict[str, _Way] = {
    "kprobe.multi": _kprobe_multi,
    "kretprobe.multi": _kprobe_multi,
    "kprobe.session": _kprobe_multi,
    "uprobe": _uprobe,
    "uretprobe": _uprobe,
    "uprobe.multi": _uprobe_multi,
    "uretprobe.multi": _uprobe_multi,
    "uprobe.session": _uprobe_multi,
    "ksyscall": _ksyscall,
    "kretsyscall": _ksyscall,
    "usdt": _usdt,
    "netkit/primary": _netkit,
    "netkit/peer": _netkit,
    "tp_btf": _raw_tracepoint,
    "fentry.multi": _tracing_multi,
    "fexit.multi": _tracing_multi,
    "fsession.multi": _tracing_multi,
    "iter": _iter,
    "lsm_cgroup": _cgroup,
    "xdp": _xdp,
    "sched_cls": _tc,
    "netfilter": _netfilter,
    "lwt_in": _route,
    "lwt_out": _route,
    "lwt_xmit": _route,
    "lwt_seg6local": _route,
    "socket_filter": _socket,
    "sk_reuseport": _socket,
    "sk_msg": _sockmap,
    "sk_skb": _sockmap,
    "sk_lookup": _netns,
    "flow_dissector": _netns,
    "cgroup_skb": _cgroup,
    "cgroup_sock": _cgroup,
    "cgroup_sock_addr": _cgroup,
    "cgroup_sockopt": _cgroup,
    "cgroup_sysctl": _cgroup,
    "cgroup_device": _cgroup,
    "sock_ops": _cgroup,
    "lirc_mode2": _lirc,
    "tracepoint": _tracepoint,
    "raw_tracepoint": _raw_tracepoint,
    "raw_tracepoint_writable": _raw_tracepoint,
    "kprobe": _kprobe,
    "perf_event": _perf_event,
    "tracing": _tracing,
    "lsm": _lsm,
    "ext": _freplace,
}
