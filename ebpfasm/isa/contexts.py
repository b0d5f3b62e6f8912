"""The fields of the structs that programs see: contexts, and what helpers and maps exchange.

Assembly names an offset by its field (`*(u32 *)(r1 + xdp_md.data_end)`); array elements have
an index (`__sk_buff.cb[2]`), nested ones a dot (`bpf_sock_tuple.ipv4.dport`). Offsets and sizes
are bytes and the same on every 64-bit machine, except where registers are involved. Sources:
`include/uapi/linux/bpf.h` up to Linux 7.2, `bpf_perf_event.h`, `asm/ptrace.h`, and the kernel's
BTF for bpf_nf_ctx. Which fields a program may read or write is no part of this table.

>>> field("xdp_md.data_end").offset, field("__sk_buff.remote_ip6[1]").offset
(4, 104)
"""

from __future__ import annotations

import re
from dataclasses import field as _dataclass_field
from dataclasses import replace
from typing import Literal

from ebpfasm.frozen import dataclass

Arch = Literal["x86_64", "arm64"]

_WIDTH = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s32": 4, "be16": 2, "be32": 4}
_MEMBER = re.compile(r"([A-Za-z_][\w.]*)(?:\[([0-9]{1,9})\])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ContextField:
    """One field: where it lies, how many bytes it has, and of what type.

    `type` is u8 to u64, s32, be16 or be32 (network byte order, whatever C type holds it), an
    array of one ("u32[5]"; "u64[]" has as many as the kernel passes and size 0), a pointer to
    a struct ("bpf_sock *", always 8 bytes), or a nested struct ("struct pt_regs").
    `since` is the first Linux release with the field, empty up to 5.10.
    """

    struct: str
    name: str
    offset: int
    size: int
    type: str
    doc: str
    since: str = ""

    @property
    def is_array(self) -> bool:
        """Whether the field takes an index."""
        return self.type.endswith("]")

    @property
    def is_pointer(self) -> bool:
        """Whether loading the field gives a pointer to a struct or to a buffer."""
        return self.type.endswith("*")

    def element(self, index: int) -> ContextField | None:
        """Return one element of an array; None past its end or if this is no array."""
        of, _, count = self.type.removesuffix("]").partition("[")
        if not self.is_array or index < 0 or (count and index >= int(count)):
            return None
        size = _WIDTH[of]
        name, offset = f"{self.name}[{index}]", self.offset + index * size
        return replace(self, name=name, offset=offset, size=size, type=of)


@dataclass(frozen=True, slots=True)
class Struct:
    """One struct with its fields in the header's order; members of unions share offsets.

    `header` is the uapi header that declares it, empty if only the kernel's BTF has it. `doc`
    names the programs whose context it is, or the helper or map that uses it.
    """

    name: str
    size: int
    header: str
    doc: str
    fields: tuple[ContextField, ...]
    by_name: dict[str, ContextField] = _dataclass_field(compare=False, repr=False)


# By name; pt_regs and bpf_perf_event_data are x86-64's here and arm64's in ARM64_STRUCTS.
STRUCTS: dict[str, Struct] = {}
ARM64_STRUCTS: dict[str, Struct] = {}


def struct(name: str, arch: Arch = "x86_64") -> Struct | None:
    """Return the struct of this name as `arch` lays it out."""
    if arch == "arm64" and name in ARM64_STRUCTS:
        return ARM64_STRUCTS[name]
    return STRUCTS.get(name)


def field(path: str, arch: Arch = "x86_64") -> ContextField | None:
    """Find "struct.member", "struct.member[index]" or "struct.member.member".

    None if there is no such struct or member, or if the index lies past the end of the array.
    """
    name, _, member = path.partition(".")
    owner = struct(name, arch)
    return _member(owner, member, arch) if owner else None


def _member(owner: Struct, path: str, arch: Arch) -> ContextField | None:
    match = _MEMBER.fullmatch(path)
    if match is None:
        return None
    found = owner.by_name.get(match[1])
    if found is not None:
        return found if match[2] is None else found.element(int(match[2]))
    head, _, rest = path.partition(".")
    outer = owner.by_name.get(head)
    if outer is None or not outer.type.startswith("struct "):
        return None
    inner = field(f"{outer.type.removeprefix('struct ')}.{rest}", arch)
    if inner is None:
        return None
    name, offset = f"{head}.{inner.name}", outer.offset + inner.offset
    return replace(inner, struct=owner.name, name=name, offset=offset)


_Row = tuple[str, int, str, str] | tuple[str, int, str, str, str]


def _struct(
    name: str, size: int, header: str, doc: str, rows: tuple[_Row, ...], into: dict[str, Struct]
) -> None:
    fields = tuple(
        ContextField(name, row[0], row[1], _size(row[2], into), *row[2:]) for row in rows
    )
    into[name] = Struct(name, size, header, doc, fields, {each.name: each for each in fields})


def _size(type_: str, structs: dict[str, Struct]) -> int:
    if type_.endswith("*"):
        return 8
    if type_.startswith("struct "):
        return structs[type_.removeprefix("struct ")].size
    of, _, count = type_.removesuffix("]").partition("[")
    return _WIDTH[of] * (int(count or 0) if "[" in type_ else 1)


# fmt: off

# What r1 points to when a program starts.

_struct("xdp_md", 24, "linux/bpf.h", "xdp programs", (
    ("data",            0,   "u32", "first byte of the packet; loads as a packet pointer"),
    ("data_end",        4,   "u32", "one past the last byte; loads as the packet's end"),
    ("data_meta",       8,   "u32", "start of the metadata in front of data"),
    ("ingress_ifindex", 12,  "u32", "interface the packet came in on"),
    ("rx_queue_index",  16,  "u32", "receive queue it came in on"),
    ("egress_ifindex",  20,  "u32", "interface it leaves on; devmap programs only"),
), STRUCTS)

_struct("__sk_buff", 192, "linux/bpf.h", "programs on packets of the stack: socket filters, traffic control, cgroups, tunnels", (
    ("len",             0,   "u32",             "bytes of the packet, paged data included"),
    ("pkt_type",        4,   "u32",             "PACKET_HOST, PACKET_BROADCAST, ..."),
    ("mark",            8,   "u32",             "skb mark"),
    ("queue_mapping",   12,  "u32",             "transmit queue"),
    ("protocol",        16,  "be32",            "ETH_P_* of the packet"),
    ("vlan_present",    20,  "u32",             "1 if a VLAN tag is held beside the packet"),
    ("vlan_tci",        24,  "u32",             "its tag"),
    ("vlan_proto",      28,  "be32",            "its ETH_P_*"),
    ("priority",        32,  "u32",             "skb priority, for qdiscs"),
    ("ingress_ifindex", 36,  "u32",             "interface it came in on, 0 if local"),
    ("ifindex",         40,  "u32",             "interface it is at now"),
    ("tc_index",        44,  "u32",             "index for traffic control"),
    ("cb",              48,  "u32[5]",          "scratch room, kept between classifiers"),
    ("hash",            68,  "u32",             "flow hash"),
    ("tc_classid",      72,  "u32",             "class a direct-action classifier picks"),
    ("data",            76,  "u32",             "first byte of the packet; loads as a packet pointer"),
    ("data_end",        80,  "u32",             "one past the last linear byte"),
    ("napi_id",         84,  "u32",             "NAPI instance of the receive queue"),
    ("family",          88,  "u32",             "AF_* of the socket; from here to local_port sk_skb programs only"),
    ("remote_ip4",      92,  "be32",            ""),
    ("local_ip4",       96,  "be32",            ""),
    ("remote_ip6",      100, "be32[4]",         ""),
    ("local_ip6",       116, "be32[4]",         ""),
    ("remote_port",     132, "be32",            ""),
    ("local_port",      136, "u32",             "host order"),
    ("data_meta",       140, "u32",             "start of the metadata in front of data"),
    ("flow_keys",       144, "bpf_flow_keys *", "what a flow dissector fills in"),
    ("tstamp",          152, "u64",             "delivery or receive time, ns"),
    ("wire_len",        160, "u32",             "length on the wire, for segments of a GSO packet"),
    ("gso_segs",        164, "u32",             "segments it will become"),
    ("sk",              168, "bpf_sock *",      "socket it belongs to, or null"),
    ("gso_size",        176, "u32",             "payload bytes of a segment"),
    ("tstamp_type",     180, "u8",              "BPF_SKB_CLOCK_* of tstamp", "5.18"),
    ("hwtstamp",        184, "u64",             "hardware receive time, ns", "5.16"),
), STRUCTS)

_struct("bpf_sock", 80, "linux/bpf.h", "cgroup_sock programs; what ctx.sk and the socket helpers point to", (
    ("bound_dev_if",     0,   "u32",     "interface it is bound to, or 0"),
    ("family",           4,   "u32",     "AF_*"),
    ("type",             8,   "u32",     "SOCK_*"),
    ("protocol",         12,  "u32",     "IPPROTO_*"),
    ("mark",             16,  "u32",     "socket mark"),
    ("priority",         20,  "u32",     "socket priority"),
    ("src_ip4",          24,  "be32",    ""),
    ("src_ip6",          28,  "be32[4]", ""),
    ("src_port",         44,  "u32",     "host order"),
    ("dst_port",         48,  "be16",    ""),
    ("dst_ip4",          52,  "be32",    ""),
    ("dst_ip6",          56,  "be32[4]", ""),
    ("state",            72,  "u32",     "BPF_TCP_*"),
    ("rx_queue_mapping", 76,  "s32",     "receive queue, -1 if not known"),
), STRUCTS)

_struct("bpf_sock_addr", 72, "linux/bpf.h", "cgroup_sock_addr programs", (
    ("user_family", 0,   "u32",        "family of the caller's address"),
    ("user_ip4",    4,   "be32",       "the caller's address"),
    ("user_ip6",    8,   "be32[4]",    "the caller's address"),
    ("user_port",   24,  "be32",       "the caller's port"),
    ("family",      28,  "u32",        "AF_* of the socket"),
    ("type",        32,  "u32",        "SOCK_*"),
    ("protocol",    36,  "u32",        "IPPROTO_*"),
    ("msg_src_ip4", 40,  "be32",       "source address of a sendmsg"),
    ("msg_src_ip6", 44,  "be32[4]",    "source address of a sendmsg"),
    ("sk",          64,  "bpf_sock *", "the socket"),
), STRUCTS)

_struct("bpf_sock_ops", 224, "linux/bpf.h", "sock_ops programs", (
    ("op",                    0,   "u32",        "BPF_SOCK_OPS_*: why the program is called"),
    ("args",                  4,   "u32[4]",     "what comes with op"),
    ("reply",                 4,   "u32",        "the answer of ops that ask"),
    ("replylong",             4,   "u32[4]",     "longer answers"),
    ("family",                20,  "u32",        "AF_* of the socket"),
    ("remote_ip4",            24,  "be32",       ""),
    ("local_ip4",             28,  "be32",       ""),
    ("remote_ip6",            32,  "be32[4]",    ""),
    ("local_ip6",             48,  "be32[4]",    ""),
    ("remote_port",           64,  "be32",       ""),
    ("local_port",            68,  "u32",        "host order"),
    ("is_fullsock",           72,  "u32",        "1 if the TCP fields are there, else they read 0"),
    ("snd_cwnd",              76,  "u32",        "congestion window, packets"),
    ("srtt_us",               80,  "u32",        "smoothed round trip, us << 3"),
    ("bpf_sock_ops_cb_flags", 84,  "u32",        "callbacks asked for, BPF_SOCK_OPS_*_CB_FLAG"),
    ("state",                 88,  "u32",        "BPF_TCP_*"),
    ("rtt_min",               92,  "u32",        "least round trip, us"),
    ("snd_ssthresh",          96,  "u32",        "slow start threshold, packets"),
    ("rcv_nxt",               100, "u32",        "next sequence number expected"),
    ("snd_nxt",               104, "u32",        "next sequence number to send"),
    ("snd_una",               108, "u32",        "first unacknowledged sequence number"),
    ("mss_cache",             112, "u32",        "segment size without SACKs"),
    ("ecn_flags",             116, "u32",        "ECN state"),
    ("rate_delivered",        120, "u32",        "packets in the last rate sample"),
    ("rate_interval_us",      124, "u32",        "its time, us"),
    ("packets_out",           128, "u32",        "packets in flight"),
    ("retrans_out",           132, "u32",        "retransmitted ones in flight"),
    ("total_retrans",         136, "u32",        "retransmissions so far"),
    ("segs_in",               140, "u32",        "segments received"),
    ("data_segs_in",          144, "u32",        "of them with data"),
    ("segs_out",              148, "u32",        "segments sent"),
    ("data_segs_out",         152, "u32",        "of them with data"),
    ("lost_out",              156, "u32",        "packets held lost"),
    ("sacked_out",            160, "u32",        "packets acknowledged by SACK"),
    ("sk_txhash",             164, "u32",        "transmit hash"),
    ("bytes_received",        168, "u64",        "bytes received in order"),
    ("bytes_acked",           176, "u64",        "bytes acknowledged by the peer"),
    ("sk",                    184, "bpf_sock *", "the socket"),
    ("skb_data",              192, "void *",     "first byte of the TCP header, in header callbacks"),
    ("skb_data_end",          200, "void *",     "one past the header"),
    ("skb_len",               208, "u32",        "bytes of the whole packet"),
    ("skb_tcp_flags",         212, "u32",        "flags of the TCP header"),
    ("skb_hwtstamp",          216, "u64",        "hardware time of the packet, ns", "6.2"),
), STRUCTS)

_struct("sk_msg_md", 80, "linux/bpf.h", "sk_msg programs", (
    ("data",        0,   "void *",     "first byte the program may read"),
    ("data_end",    8,   "void *",     "one past the last"),
    ("family",      16,  "u32",        "AF_* of the socket"),
    ("remote_ip4",  20,  "be32",       ""),
    ("local_ip4",   24,  "be32",       ""),
    ("remote_ip6",  28,  "be32[4]",    ""),
    ("local_ip6",   44,  "be32[4]",    ""),
    ("remote_port", 60,  "be32",       ""),
    ("local_port",  64,  "u32",        "host order"),
    ("size",        68,  "u32",        "bytes of the message"),
    ("sk",          72,  "bpf_sock *", "the sending socket"),
), STRUCTS)

_struct("sk_reuseport_md", 56, "linux/bpf.h", "sk_reuseport programs", (
    ("data",         0,   "void *",     "first byte, at the transport header"),
    ("data_end",     8,   "void *",     "one past the last readable byte"),
    ("len",          16,  "u32",        "bytes of the packet from the transport header on"),
    ("eth_protocol", 20,  "be32",       "ETH_P_*"),
    ("ip_protocol",  24,  "u32",        "IPPROTO_*"),
    ("bind_inany",   28,  "u32",        "1 if bound to any address"),
    ("hash",         32,  "u32",        "hash of addresses and ports"),
    ("sk",           40,  "bpf_sock *", "a socket of the group", "5.14"),
    ("migrating_sk", 48,  "bpf_sock *", "socket whose connection moves, or null", "5.14"),
), STRUCTS)

_struct("bpf_sk_lookup", 72, "linux/bpf.h", "sk_lookup programs", (
    ("sk",              0,   "bpf_sock *", "socket picked so far, or null"),
    ("cookie",          0,   "u64",        "the picked socket's cookie, in test runs"),
    ("family",          8,   "u32",        "AF_*"),
    ("protocol",        12,  "u32",        "IPPROTO_*"),
    ("remote_ip4",      16,  "be32",       ""),
    ("remote_ip6",      20,  "be32[4]",    ""),
    ("remote_port",     36,  "be16",       ""),
    ("local_ip4",       40,  "be32",       ""),
    ("local_ip6",       44,  "be32[4]",    ""),
    ("local_port",      60,  "u32",        "host order"),
    ("ingress_ifindex", 64,  "u32",        "interface the packet came in on", "5.17"),
), STRUCTS)

_struct("bpf_sysctl", 8, "linux/bpf.h", "cgroup_sysctl programs", (
    ("write",    0,   "u32", "1 if written, 0 if read"),
    ("file_pos", 4,   "u32", "position in the sysctl file"),
), STRUCTS)

_struct("bpf_sockopt", 40, "linux/bpf.h", "cgroup_sockopt programs", (
    ("sk",         0,   "bpf_sock *", "the socket"),
    ("optval",     8,   "void *",     "first byte of the option's value"),
    ("optval_end", 16,  "void *",     "one past the last"),
    ("level",      24,  "s32",        "SOL_*"),
    ("optname",    28,  "s32",        "SO_*"),
    ("optlen",     32,  "s32",        "bytes of the value"),
    ("retval",     36,  "s32",        "what getsockopt will return"),
), STRUCTS)

_struct("bpf_cgroup_dev_ctx", 12, "linux/bpf.h", "cgroup_device programs", (
    ("access_type", 0,   "u32", "BPF_DEVCG_ACC_* << 16 | BPF_DEVCG_DEV_*"),
    ("major",       4,   "u32", "device number"),
    ("minor",       8,   "u32", "device number"),
), STRUCTS)

_struct("bpf_raw_tracepoint_args", 0, "linux/bpf.h", "raw_tracepoint programs", (
    ("args", 0,   "u64[]",  "the arguments, each as 64 bits"),
), STRUCTS)

_struct("bpf_nf_ctx", 16, "", "netfilter programs", (
    ("state", 0,   "nf_hook_state *", "hook, interfaces and socket"),
    ("skb",   8,   "sk_buff *",       "the packet"),
), STRUCTS)

_struct("pt_regs", 168, "asm/ptrace.h", "kprobe programs on x86-64, in the kernel's names and those of asm/ptrace.h", (
    ("r15",      0,   "u64", ""),
    ("r14",      8,   "u64", ""),
    ("r13",      16,  "u64", ""),
    ("r12",      24,  "u64", ""),
    ("bp",       32,  "u64", ""),
    ("rbp",      32,  "u64", ""),
    ("bx",       40,  "u64", ""),
    ("rbx",      40,  "u64", ""),
    ("r11",      48,  "u64", ""),
    ("r10",      56,  "u64", ""),
    ("r9",       64,  "u64", ""),
    ("r8",       72,  "u64", ""),
    ("ax",       80,  "u64", ""),
    ("rax",      80,  "u64", ""),
    ("cx",       88,  "u64", ""),
    ("rcx",      88,  "u64", ""),
    ("dx",       96,  "u64", ""),
    ("rdx",      96,  "u64", ""),
    ("si",       104, "u64", ""),
    ("rsi",      104, "u64", ""),
    ("di",       112, "u64", ""),
    ("rdi",      112, "u64", ""),
    ("orig_ax",  120, "u64", ""),
    ("orig_rax", 120, "u64", ""),
    ("ip",       128, "u64", ""),
    ("rip",      128, "u64", ""),
    ("cs",       136, "u64", ""),
    ("flags",    144, "u64", ""),
    ("eflags",   144, "u64", ""),
    ("sp",       152, "u64", ""),
    ("rsp",      152, "u64", ""),
    ("ss",       160, "u64", ""),
), STRUCTS)

_struct("bpf_perf_event_data", 184, "linux/bpf_perf_event.h", "perf_event programs, on x86-64", (
    ("regs",          0,   "struct pt_regs", "registers at the sample"),
    ("sample_period", 168, "u64",            "events between samples"),
    ("addr",          176, "u64",            "address of the sampled access"),
), STRUCTS)

# What helpers and maps exchange with programs.

_struct("bpf_flow_keys", 56, "linux/bpf.h", "what __sk_buff.flow_keys points to", (
    ("nhoff",         0,   "u16",     "offset of the network header"),
    ("thoff",         2,   "u16",     "offset of the transport header"),
    ("addr_proto",    4,   "u16",     "ETH_P_* of the addresses, host order"),
    ("is_frag",       6,   "u8",      "1 for a fragment"),
    ("is_first_frag", 7,   "u8",      "1 for the first fragment"),
    ("is_encap",      8,   "u8",      "1 if found inside a tunnel"),
    ("ip_proto",      9,   "u8",      "IPPROTO_*"),
    ("n_proto",       10,  "be16",    "ETH_P_*"),
    ("sport",         12,  "be16",    ""),
    ("dport",         14,  "be16",    ""),
    ("ipv4_src",      16,  "be32",    ""),
    ("ipv4_dst",      20,  "be32",    ""),
    ("ipv6_src",      16,  "be32[4]", ""),
    ("ipv6_dst",      32,  "be32[4]", ""),
    ("flags",         48,  "u32",     "BPF_FLOW_DISSECTOR_F_*"),
    ("flow_label",    52,  "be32",    ""),
), STRUCTS)

_struct("bpf_tunnel_key", 44, "linux/bpf.h", "bpf_skb_get_tunnel_key, bpf_skb_set_tunnel_key", (
    ("tunnel_id",    0,   "u32",    "tunnel id, host order"),
    ("remote_ipv4",  4,   "u32",    "peer, host order"),
    ("remote_ipv6",  4,   "u32[4]", "peer, as on the wire"),
    ("tunnel_tos",   20,  "u8",     "type of service"),
    ("tunnel_ttl",   21,  "u8",     "hop limit"),
    ("tunnel_ext",   22,  "u16",    "padding, older than tunnel_flags"),
    ("tunnel_flags", 22,  "be16",   "flags of a received packet", "6.0"),
    ("tunnel_label", 24,  "u32",    "IPv6 flow label"),
    ("local_ipv4",   28,  "u32",    "own address, host order", "5.19"),
    ("local_ipv6",   28,  "u32[4]", "own address, as on the wire", "5.19"),
), STRUCTS)

_struct("bpf_xfrm_state", 28, "linux/bpf.h", "bpf_skb_get_xfrm_state", (
    ("reqid",       0,   "u32",     "request id"),
    ("spi",         4,   "be32",    "security parameter index"),
    ("family",      8,   "u16",     "AF_*"),
    ("ext",         10,  "u16",     "padding"),
    ("remote_ipv4", 12,  "be32",    ""),
    ("remote_ipv6", 12,  "be32[4]", ""),
), STRUCTS)

_struct("bpf_fib_lookup", 64, "linux/bpf.h", "bpf_fib_lookup", (
    ("family",       0,   "u8",      "AF_* to look up; out: of the next hop"),
    ("l4_protocol",  1,   "u8",      "IPPROTO_*, for rules on ports"),
    ("sport",        2,   "be16",    ""),
    ("dport",        4,   "be16",    ""),
    ("tot_len",      6,   "u16",     "bytes of the packet, 0 for no MTU check"),
    ("mtu_result",   6,   "u16",     "out: the MTU", "5.12"),
    ("ifindex",      8,   "u32",     "in: arriving interface; out: leaving one"),
    ("tos",          12,  "u8",      "IPv4 type of service"),
    ("flowinfo",     12,  "be32",    "IPv6 label and class"),
    ("rt_metric",    12,  "u32",     "out: metric of the route"),
    ("ipv4_src",     16,  "be32",    ""),
    ("ipv6_src",     16,  "be32[4]", ""),
    ("ipv4_dst",     32,  "be32",    "in: destination; out: gateway"),
    ("ipv6_dst",     32,  "be32[4]", "in: destination; out: gateway"),
    ("h_vlan_proto", 48,  "be16",    "out: VLAN protocol"),
    ("h_vlan_TCI",   50,  "be16",    "out: VLAN tag"),
    ("tbid",         48,  "u32",     "in: routing table, with BPF_FIB_LOOKUP_TBID", "6.5"),
    ("mark",         52,  "u32",     "in: mark for policy routing", "6.10"),
    ("smac",         52,  "u8[6]",   "out: source MAC address"),
    ("dmac",         58,  "u8[6]",   "out: next hop's MAC address"),
), STRUCTS)

_struct("bpf_redir_neigh", 20, "linux/bpf.h", "bpf_redirect_neigh", (
    ("nh_family", 0,   "u32",     "AF_* of the next hop"),
    ("ipv4_nh",   4,   "be32",    "next hop"),
    ("ipv6_nh",   4,   "be32[4]", "next hop"),
), STRUCTS)

_struct("bpf_sock_tuple", 36, "linux/bpf.h", "bpf_sk_lookup_tcp, bpf_sk_lookup_udp", (
    ("ipv4.saddr", 0,   "be32",    ""),
    ("ipv4.daddr", 4,   "be32",    ""),
    ("ipv4.sport", 8,   "be16",    ""),
    ("ipv4.dport", 10,  "be16",    ""),
    ("ipv6.saddr", 0,   "be32[4]", ""),
    ("ipv6.daddr", 16,  "be32[4]", ""),
    ("ipv6.sport", 32,  "be16",    ""),
    ("ipv6.dport", 34,  "be16",    ""),
), STRUCTS)

_struct("bpf_tcp_sock", 112, "linux/bpf.h", "what bpf_tcp_sock returns", (
    ("snd_cwnd",         0,   "u32", "congestion window, packets"),
    ("srtt_us",          4,   "u32", "smoothed round trip, us << 3"),
    ("rtt_min",          8,   "u32", "least round trip, us"),
    ("snd_ssthresh",     12,  "u32", "slow start threshold, packets"),
    ("rcv_nxt",          16,  "u32", "next sequence number expected"),
    ("snd_nxt",          20,  "u32", "next sequence number to send"),
    ("snd_una",          24,  "u32", "first unacknowledged sequence number"),
    ("mss_cache",        28,  "u32", "segment size without SACKs"),
    ("ecn_flags",        32,  "u32", "ECN state"),
    ("rate_delivered",   36,  "u32", "packets in the last rate sample"),
    ("rate_interval_us", 40,  "u32", "its time, us"),
    ("packets_out",      44,  "u32", "packets in flight"),
    ("retrans_out",      48,  "u32", "retransmitted ones in flight"),
    ("total_retrans",    52,  "u32", "retransmissions so far"),
    ("segs_in",          56,  "u32", "segments received"),
    ("data_segs_in",     60,  "u32", "of them with data"),
    ("segs_out",         64,  "u32", "segments sent"),
    ("data_segs_out",    68,  "u32", "of them with data"),
    ("lost_out",         72,  "u32", "packets held lost"),
    ("sacked_out",       76,  "u32", "packets acknowledged by SACK"),
    ("bytes_received",   80,  "u64", "bytes received in order"),
    ("bytes_acked",      88,  "u64", "bytes acknowledged by the peer"),
    ("dsack_dups",       96,  "u32", "duplicate SACK blocks received"),
    ("delivered",        100, "u32", "packets delivered, retransmitted ones too"),
    ("delivered_ce",     104, "u32", "of them with a congestion mark"),
    ("icsk_retransmits", 108, "u32", "timeouts not yet recovered"),
), STRUCTS)

_struct("bpf_xdp_sock", 4, "linux/bpf.h", "what looking up an xskmap returns", (
    ("queue_id", 0,   "u32", "queue it is bound to"),
), STRUCTS)

_struct("bpf_devmap_val", 8, "linux/bpf.h", "values of a devmap", (
    ("ifindex",     0,   "u32", "interface"),
    ("bpf_prog.fd", 4,   "s32", "written: program descriptor"),
    ("bpf_prog.id", 4,   "u32", "read: program id"),
), STRUCTS)

_struct("bpf_cpumap_val", 8, "linux/bpf.h", "values of a cpumap", (
    ("qsize",       0,   "u32", "packets the queue to that CPU holds"),
    ("bpf_prog.fd", 4,   "s32", "written: program descriptor"),
    ("bpf_prog.id", 4,   "u32", "read: program id"),
), STRUCTS)

_struct("bpf_perf_event_value", 24, "linux/bpf.h", "bpf_perf_event_read_value", (
    ("counter", 0,   "u64", "count"),
    ("enabled", 8,   "u64", "ns the event was enabled"),
    ("running", 16,  "u64", "ns it really counted"),
), STRUCTS)

_struct("bpf_pidns_info", 8, "linux/bpf.h", "bpf_get_ns_current_pid_tgid", (
    ("pid",  0,   "u32", "thread id in the namespace"),
    ("tgid", 4,   "u32", "process id in the namespace"),
), STRUCTS)

# Where arm64 differs: only the registers that asm/ptrace.h calls user_pt_regs can be read.

_struct("pt_regs", 272, "asm/ptrace.h", "kprobe programs on arm64", (
    ("regs",   0,   "u64[31]", "x0 to x30"),
    ("sp",     248, "u64",     ""),
    ("pc",     256, "u64",     ""),
    ("pstate", 264, "u64",     ""),
), ARM64_STRUCTS)

_struct("bpf_perf_event_data", 288, "linux/bpf_perf_event.h", "perf_event programs, on arm64", (
    ("regs",          0,   "struct pt_regs", "registers at the sample"),
    ("sample_period", 272, "u64",            "events between samples"),
    ("addr",          280, "u64",            "address of the sampled access"),
), ARM64_STRUCTS)
# fmt: on
