"""ELF section names of programs, as libbpf understands them.

The rows are `section_defs[]` of libbpf as it becomes 1.8, in its order, because the first match decides.
A pattern that ends in `+` matches itself alone or followed by `/target`; one that ends in `/`
needs the slash; any other matches exactly. Sections of libbpf 0.x, which also took any name
that began like a known one, are found on request only.

>>> match = resolve("?fentry.s/tcp_connect")
>>> match.program_type, match.attach_type, match.target, match.sleepable, match.optional
('tracing', 'trace_fentry', 'tcp_connect', True, True)
"""

from __future__ import annotations

from functools import lru_cache

from ebpfasm.frozen import dataclass
from ebpfasm.isa.constants import CONSTANTS


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """One section name pattern.

    `program_type` and `attach_type` are names of ebpfasm.isa.kinds; None where libbpf sets no
    expected attach type. `libbpf` is the first 1.x release that knows the pattern ("1.0" for
    all that are older), or "0.x" if libbpf 1.0 dropped it.

    `optional_attach_type`: kernels that know no attach type yet load the program without it.
    `attachable`: libbpf_attach_type_by_name() knows it. `needs_btf`: the target is a BTF id.
    `frags`: loaded with BPF_F_XDP_HAS_FRAGS. `usdt`: the attach type becomes
    trace_uprobe_multi where the kernel has it. `auto_attach`: libbpf attaches the program from
    its section name alone. `legacy`: deprecated spelling. `sloppy`: libbpf 0.x took any
    section that begins so.
    """

    pattern: str
    program_type: str
    attach_type: str | None
    libbpf: str
    attachable: bool
    optional_attach_type: bool
    needs_btf: bool
    sleepable: bool
    frags: bool
    usdt: bool
    auto_attach: bool
    legacy: bool
    sloppy: bool

    @property
    def name(self) -> str:
        """The section name without the pattern's `+` or `/`."""
        return self.pattern.rstrip("+/")

    @property
    def exact(self) -> bool:
        """Whether only this very name matches."""
        return self.pattern[-1] not in "+/"

    def matches(self, section: str) -> bool:
        """Whether libbpf 1.x takes `section`, without a leading "?", for this pattern."""
        match self.pattern[-1]:
            case "/":
                return section.startswith(self.pattern)
            case "+":
                return section == self.name or section.startswith(self.name + "/")
            case _:
                return section == self.pattern


@dataclass(frozen=True, slots=True)
class SectionMatch:
    """What a section name says about its programs.

    `target` is the text after the pattern's name and a slash (the function, tracepoint, ...;
    empty if nothing follows the slash), None without one. `optional`: the name began with
    "?", so the program is loaded only if asked for by name.
    """

    spec: SectionSpec
    target: str | None
    optional: bool

    @property
    def program_type(self) -> str:
        """The program type's name in ebpfasm.isa.kinds."""
        return self.spec.program_type

    @property
    def attach_type(self) -> str | None:
        """The expected attach type's name in ebpfasm.isa.kinds, or None."""
        return self.spec.attach_type

    @property
    def sleepable(self) -> bool:
        """Whether the program is loaded with BPF_F_SLEEPABLE."""
        return self.spec.sleepable

    @property
    def load_flags(self) -> int:
        """The BPF_F_* flags that BPF_PROG_LOAD gets: sleepable, XDP with fragments."""
        sleepable = CONSTANTS["BPF_F_SLEEPABLE"] if self.spec.sleepable else 0
        return sleepable | (CONSTANTS["BPF_F_XDP_HAS_FRAGS"] if self.spec.frags else 0)


@lru_cache(1024)
def resolve(section: str, *, legacy: bool = False) -> SectionMatch | None:
    """Find what a section name means, by libbpf 1.x's rules; None if it means no program.

    With `legacy`, a name that 1.x refuses is tried by the rules of libbpf 0.x, where
    "classifier/ingress", "xdp_prog" and "xdp_devmap/x" were good names.
    """
    optional = section.startswith("?")
    name = section[1:] if optional else section
    spec = next((spec for spec in SECTIONS if spec.matches(name)), None)
    if spec is None and legacy:
        spec = _resolve_legacy(name)
    if spec is None:
        return None
    rest = name[len(spec.name) :]
    return SectionMatch(spec, rest[1:] if rest.startswith("/") else None, optional)


def _resolve_legacy(name: str) -> SectionSpec | None:
    """Match like libbpf 0.8: names it had and 1.0 dropped, then any sloppy beginning."""
    dropped = (spec for spec in LEGACY_SECTIONS if spec.matches(name))
    sloppy = (spec for spec in SECTIONS if spec.sloppy and name.startswith(spec.pattern))
    return next(dropped, None) or next(sloppy, None)


def _s(
    pattern: str, program_type: str, attach_type: str | None, traits: str, libbpf: str
) -> SectionSpec:
    words = traits.split()
    return SectionSpec(
        pattern, program_type, attach_type, libbpf,
        attachable="attach" in words, optional_attach_type="optional" in words,
        needs_btf="btf" in words, sleepable="sleep" in words, frags="frags" in words,
        usdt="usdt" in words, auto_attach="auto" in words, legacy="legacy" in words,
        sloppy="sloppy" in words,
    )  # fmt: skip


# fmt: off

#      pattern                     program type               expected attach type               traits                    libbpf
SECTIONS: tuple[SectionSpec, ...] = (
    _s("socket",                   "socket_filter",           None,                              "sloppy",                 "1.0"),
    _s("sk_reuseport/migrate",     "sk_reuseport",            "sk_reuseport_select_or_migrate",  "attach sloppy",          "1.0"),
    _s("sk_reuseport",             "sk_reuseport",            "sk_reuseport_select",             "attach sloppy",          "1.0"),
    _s("kprobe+",                  "kprobe",                  None,                              "auto",                   "1.0"),
    _s("uprobe+",                  "kprobe",                  None,                              "auto",                   "1.0"),
    _s("uprobe.s+",                "kprobe",                  None,                              "sleep auto",             "1.0"),
    _s("kretprobe+",               "kprobe",                  None,                              "auto",                   "1.0"),
    _s("uretprobe+",               "kprobe",                  None,                              "auto",                   "1.0"),
    _s("uretprobe.s+",             "kprobe",                  None,                              "sleep auto",             "1.0"),
    _s("kprobe.multi+",            "kprobe",                  "trace_kprobe_multi",              "auto",                   "1.0"),
    _s("kretprobe.multi+",         "kprobe",                  "trace_kprobe_multi",              "auto",                   "1.0"),
    _s("kprobe.session+",          "kprobe",                  "trace_kprobe_session",            "auto",                   "1.5"),
    _s("uprobe.multi+",            "kprobe",                  "trace_uprobe_multi",              "auto",                   "1.3"),
    _s("uretprobe.multi+",         "kprobe",                  "trace_uprobe_multi",              "auto",                   "1.3"),
    _s("uprobe.session+",          "kprobe",                  "trace_uprobe_session",            "auto",                   "1.6"),
    _s("uprobe.multi.s+",          "kprobe",                  "trace_uprobe_multi",              "sleep auto",             "1.3"),
    _s("uretprobe.multi.s+",       "kprobe",                  "trace_uprobe_multi",              "sleep auto",             "1.3"),
    _s("uprobe.session.s+",        "kprobe",                  "trace_uprobe_session",            "sleep auto",             "1.6"),
    _s("ksyscall+",                "kprobe",                  None,                              "auto",                   "1.0"),
    _s("kretsyscall+",             "kprobe",                  None,                              "auto",                   "1.0"),
    _s("usdt+",                    "kprobe",                  None,                              "usdt auto",              "1.0"),
    _s("usdt.s+",                  "kprobe",                  None,                              "sleep usdt auto",        "1.3"),
    _s("tc/ingress",               "sched_cls",               "tcx_ingress",                     "",                       "1.3"),
    _s("tc/egress",                "sched_cls",               "tcx_egress",                      "",                       "1.3"),
    _s("tcx/ingress",              "sched_cls",               "tcx_ingress",                     "",                       "1.3"),
    _s("tcx/egress",               "sched_cls",               "tcx_egress",                      "",                       "1.3"),
    _s("tc",                       "sched_cls",               None,                              "legacy",                 "1.0"),
    _s("classifier",               "sched_cls",               None,                              "legacy sloppy",          "1.0"),
    _s("action",                   "sched_act",               None,                              "legacy sloppy",          "1.0"),
    _s("netkit/primary",           "sched_cls",               "netkit_primary",                  "",                       "1.3"),
    _s("netkit/peer",              "sched_cls",               "netkit_peer",                     "",                       "1.3"),
    _s("tracepoint+",              "tracepoint",              None,                              "auto",                   "1.0"),
    _s("tp+",                      "tracepoint",              None,                              "auto",                   "1.0"),
    _s("tracepoint.s+",            "tracepoint",              None,                              "sleep auto",             "1.8"),
    _s("tp.s+",                    "tracepoint",              None,                              "sleep auto",             "1.8"),
    _s("raw_tracepoint+",          "raw_tracepoint",          None,                              "auto",                   "1.0"),
    _s("raw_tp+",                  "raw_tracepoint",          None,                              "auto",                   "1.0"),
    _s("raw_tracepoint.s+",        "raw_tracepoint",          None,                              "sleep auto",             "1.8"),
    _s("raw_tp.s+",                "raw_tracepoint",          None,                              "sleep auto",             "1.8"),
    _s("raw_tracepoint.w+",        "raw_tracepoint_writable", None,                              "auto",                   "1.0"),
    _s("raw_tp.w+",                "raw_tracepoint_writable", None,                              "auto",                   "1.0"),
    _s("tp_btf+",                  "tracing",                 "trace_raw_tp",                    "btf auto",               "1.0"),
    _s("tp_btf.s+",                "tracing",                 "trace_raw_tp",                    "btf sleep auto",         "1.8"),
    _s("fentry+",                  "tracing",                 "trace_fentry",                    "btf auto",               "1.0"),
    _s("fmod_ret+",                "tracing",                 "modify_return",                   "btf auto",               "1.0"),
    _s("fexit+",                   "tracing",                 "trace_fexit",                     "btf auto",               "1.0"),
    _s("fentry.s+",                "tracing",                 "trace_fentry",                    "btf sleep auto",         "1.0"),
    _s("fmod_ret.s+",              "tracing",                 "modify_return",                   "btf sleep auto",         "1.0"),
    _s("fexit.s+",                 "tracing",                 "trace_fexit",                     "btf sleep auto",         "1.0"),
    _s("fsession+",                "tracing",                 "trace_fsession",                  "btf auto",               "1.7"),
    _s("fsession.s+",              "tracing",                 "trace_fsession",                  "btf sleep auto",         "1.7"),
    _s("fsession.multi+",          "tracing",                 "trace_fsession_multi",            "auto",                   "1.8"),
    _s("fsession.multi.s+",        "tracing",                 "trace_fsession_multi",            "sleep auto",             "1.8"),
    _s("fentry.multi+",            "tracing",                 "trace_fentry_multi",              "auto",                   "1.8"),
    _s("fexit.multi+",             "tracing",                 "trace_fexit_multi",               "auto",                   "1.8"),
    _s("fentry.multi.s+",          "tracing",                 "trace_fentry_multi",              "sleep auto",             "1.8"),
    _s("fexit.multi.s+",           "tracing",                 "trace_fexit_multi",               "sleep auto",             "1.8"),
    _s("freplace+",                "ext",                     None,                              "btf auto",               "1.0"),
    _s("lsm+",                     "lsm",                     "lsm_mac",                         "btf auto",               "1.0"),
    _s("lsm.s+",                   "lsm",                     "lsm_mac",                         "btf sleep auto",         "1.0"),
    _s("lsm_cgroup+",              "lsm",                     "lsm_cgroup",                      "btf",                    "1.0"),
    _s("iter+",                    "tracing",                 "trace_iter",                      "btf auto",               "1.0"),
    _s("iter.s+",                  "tracing",                 "trace_iter",                      "btf sleep auto",         "1.0"),
    _s("syscall",                  "syscall",                 None,                              "sleep",                  "1.0"),
    _s("xdp.frags/devmap",         "xdp",                     "xdp_devmap",                      "frags",                  "1.0"),
    _s("xdp/devmap",               "xdp",                     "xdp_devmap",                      "attach",                 "1.0"),
    _s("xdp.frags/cpumap",         "xdp",                     "xdp_cpumap",                      "frags",                  "1.0"),
    _s("xdp/cpumap",               "xdp",                     "xdp_cpumap",                      "attach",                 "1.0"),
    _s("xdp.frags",                "xdp",                     "xdp",                             "frags",                  "1.0"),
    _s("xdp",                      "xdp",                     "xdp",                             "attach optional sloppy", "1.0"),
    _s("perf_event",               "perf_event",              None,                              "sloppy",                 "1.0"),
    _s("lwt_in",                   "lwt_in",                  None,                              "sloppy",                 "1.0"),
    _s("lwt_out",                  "lwt_out",                 None,                              "sloppy",                 "1.0"),
    _s("lwt_xmit",                 "lwt_xmit",                None,                              "sloppy",                 "1.0"),
    _s("lwt_seg6local",            "lwt_seg6local",           None,                              "sloppy",                 "1.0"),
    _s("sockops",                  "sock_ops",                "cgroup_sock_ops",                 "attach optional sloppy", "1.0"),
    _s("sk_skb/stream_parser",     "sk_skb",                  "sk_skb_stream_parser",            "attach optional sloppy", "1.0"),
    _s("sk_skb/stream_verdict",    "sk_skb",                  "sk_skb_stream_verdict",           "attach optional sloppy", "1.0"),
    _s("sk_skb/verdict",           "sk_skb",                  "sk_skb_verdict",                  "attach optional",        "1.4"),
    _s("sk_skb",                   "sk_skb",                  None,                              "sloppy",                 "1.0"),
    _s("sk_msg",                   "sk_msg",                  "sk_msg_verdict",                  "attach optional sloppy", "1.0"),
    _s("lirc_mode2",               "lirc_mode2",              "lirc_mode2",                      "attach optional sloppy", "1.0"),
    _s("flow_dissector",           "flow_dissector",          "flow_dissector",                  "attach optional sloppy", "1.0"),
    _s("cgroup_skb/ingress",       "cgroup_skb",              "cgroup_inet_ingress",             "attach optional sloppy", "1.0"),
    _s("cgroup_skb/egress",        "cgroup_skb",              "cgroup_inet_egress",              "attach optional sloppy", "1.0"),
    _s("cgroup/skb",               "cgroup_skb",              None,                              "sloppy",                 "1.0"),
    _s("cgroup/sock_create",       "cgroup_sock",             "cgroup_inet_sock_create",         "attach sloppy",          "1.0"),
    _s("cgroup/sock_release",      "cgroup_sock",             "cgroup_inet_sock_release",        "attach sloppy",          "1.0"),
    _s("cgroup/sock",              "cgroup_sock",             "cgroup_inet_sock_create",         "attach optional sloppy", "1.0"),
    _s("cgroup/post_bind4",        "cgroup_sock",             "cgroup_inet4_post_bind",          "attach sloppy",          "1.0"),
    _s("cgroup/post_bind6",        "cgroup_sock",             "cgroup_inet6_post_bind",          "attach sloppy",          "1.0"),
    _s("cgroup/bind4",             "cgroup_sock_addr",        "cgroup_inet4_bind",               "attach sloppy",          "1.0"),
    _s("cgroup/bind6",             "cgroup_sock_addr",        "cgroup_inet6_bind",               "attach sloppy",          "1.0"),
    _s("cgroup/connect4",          "cgroup_sock_addr",        "cgroup_inet4_connect",            "attach sloppy",          "1.0"),
    _s("cgroup/connect6",          "cgroup_sock_addr",        "cgroup_inet6_connect",            "attach sloppy",          "1.0"),
    _s("cgroup/connect_unix",      "cgroup_sock_addr",        "cgroup_unix_connect",             "attach",                 "1.3"),
    _s("cgroup/sendmsg4",          "cgroup_sock_addr",        "cgroup_udp4_sendmsg",             "attach sloppy",          "1.0"),
    _s("cgroup/sendmsg6",          "cgroup_sock_addr",        "cgroup_udp6_sendmsg",             "attach sloppy",          "1.0"),
    _s("cgroup/sendmsg_unix",      "cgroup_sock_addr",        "cgroup_unix_sendmsg",             "attach",                 "1.3"),
    _s("cgroup/recvmsg4",          "cgroup_sock_addr",        "cgroup_udp4_recvmsg",             "attach sloppy",          "1.0"),
    _s("cgroup/recvmsg6",          "cgroup_sock_addr",        "cgroup_udp6_recvmsg",             "attach sloppy",          "1.0"),
    _s("cgroup/recvmsg_unix",      "cgroup_sock_addr",        "cgroup_unix_recvmsg",             "attach",                 "1.3"),
    _s("cgroup/getpeername4",      "cgroup_sock_addr",        "cgroup_inet4_getpeername",        "attach sloppy",          "1.0"),
    _s("cgroup/getpeername6",      "cgroup_sock_addr",        "cgroup_inet6_getpeername",        "attach sloppy",          "1.0"),
    _s("cgroup/getpeername_unix",  "cgroup_sock_addr",        "cgroup_unix_getpeername",         "attach",                 "1.3"),
    _s("cgroup/getsockname4",      "cgroup_sock_addr",        "cgroup_inet4_getsockname",        "attach sloppy",          "1.0"),
    _s("cgroup/getsockname6",      "cgroup_sock_addr",        "cgroup_inet6_getsockname",        "attach sloppy",          "1.0"),
    _s("cgroup/getsockname_unix",  "cgroup_sock_addr",        "cgroup_unix_getsockname",         "attach",                 "1.3"),
    _s("cgroup/sysctl",            "cgroup_sysctl",           "cgroup_sysctl",                   "attach sloppy",          "1.0"),
    _s("cgroup/getsockopt",        "cgroup_sockopt",          "cgroup_getsockopt",               "attach sloppy",          "1.0"),
    _s("cgroup/setsockopt",        "cgroup_sockopt",          "cgroup_setsockopt",               "attach sloppy",          "1.0"),
    _s("cgroup/dev",               "cgroup_device",           "cgroup_device",                   "attach optional sloppy", "1.0"),
    _s("struct_ops+",              "struct_ops",              None,                              "",                       "1.0"),
    _s("struct_ops.s+",            "struct_ops",              None,                              "sleep",                  "1.2"),
    _s("sk_lookup",                "sk_lookup",               "sk_lookup",                       "attach sloppy",          "1.0"),
    _s("netfilter",                "netfilter",               "netfilter",                       "",                       "1.3"),
)

# Names that libbpf 0.x took and 1.0 dropped.
LEGACY_SECTIONS: tuple[SectionSpec, ...] = (
    _s("xdp_devmap/",              "xdp",                     "xdp_devmap",                      "attach legacy",          "0.x"),
    _s("xdp_cpumap/",              "xdp",                     "xdp_cpumap",                      "attach legacy",          "0.x"),
)
# fmt: on


BY_PATTERN: dict[str, SectionSpec] = {spec.pattern: spec for spec in SECTIONS + LEGACY_SECTIONS}
