"""Map types, program types, attach types and link types: the numbers of `bpf(2)` and their names.

The names are libbpf's lower-case ones; the uapi name is derived from them. The kernel keeps
adding rows, so a number that no row has is still a legal value: it is written `map_type#57`
and read back from that spelling. Sources: `include/uapi/linux/bpf.h` up to Linux 7.2, for map
rules the `map_alloc_check` of each type, for contexts `include/linux/bpf_types.h`.

>>> MAP_TYPES.by_name["percpu_array"].per_cpu
True
>>> MAP_TYPES.name_of(57), MAP_TYPES.id_of("map_type#57")
('map_type#57', 57)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from ebpfasm.frozen import dataclass

_U32_MAX = 0xFFFF_FFFF


class Kind(Protocol):
    """What the rows of all four tables have."""

    @property
    def id(self) -> int:
        """The number that `bpf(2)` takes."""

    @property
    def name(self) -> str:
        """Libbpf's name."""

    @property
    def c_name(self) -> str:
        """The enumerator in linux/bpf.h."""

    @property
    def since(self) -> str:
        """The first Linux release whose linux/bpf.h has the number, such as "5.8"."""


Row_co = TypeVar("Row_co", bound=Kind, covariant=True)


class KindTable(Generic[Row_co]):
    """The rows of one enumeration of linux/bpf.h, in its order, and the ways to look one up.

    `what` names the enumeration and is the prefix of numbers without a row ("map_type#57").
    """

    __slots__ = ("_by_c_name", "by_id", "by_name", "rows", "what")

    def __init__(self, what: str, rows: tuple[Row_co, ...], aliases: dict[str, str]) -> None:
        self.what = what
        self.rows = rows
        self.by_name: dict[str, Row_co] = {row.name: row for row in rows}
        self.by_id: dict[int, Row_co] = {row.id: row for row in rows}
        self._by_c_name: dict[str, Row_co] = {row.c_name: row for row in rows}
        self._by_c_name |= {alias: self.by_name[name] for alias, name in aliases.items()}

    def __iter__(self) -> Iterator[Row_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, word: str) -> Row_co | None:
        """Return the row with this libbpf name or C name, older C names included."""
        return self.by_name.get(word) or self._by_c_name.get(word)

    def name_of(self, number: int) -> str:
        """Name a number: the row's name, or "map_type#57" where no row has it."""
        row = self.by_id.get(number)
        return row.name if row else f"{self.what}#{number}"

    def id_of(self, word: str) -> int | None:
        """Return the number of a libbpf name, a C name or the raw spelling "map_type#57".

        None for any other word and for a raw number that does not fit 32 bits.
        """
        if row := self.find(word):
            return row.id
        what, mark, digits = word.partition("#")
        if what != self.what or not mark or not (digits.isascii() and digits.isdigit()):
            return None
        number = int(digits) if len(digits) <= 10 else _U32_MAX + 1
        return number if number <= _U32_MAX else None


@dataclass(frozen=True, slots=True)
class MapType:
    """One `enum bpf_map_type`, with what BPF_MAP_CREATE demands of it.

    `key_sizes` and `value_sizes` list the sizes in bytes that the kernel takes; empty means
    any size from 1 on, `(0,)` that there is none. `fd_value`: user space stores a file
    descriptor. `no_entries`: max_entries must be 0. `needs_btf`: key and value must have BTF
    types. `needs_flag` names the map flag without which creation fails, or is empty.
    `indexed`: keys are indices below max_entries, and what is not there is an empty slot.
    A value of a `per_cpu` map is, seen from user space, one value for each possible CPU,
    each rounded up to 8 bytes.
    """

    id: int
    name: str
    since: str
    key_sizes: tuple[int, ...]
    value_sizes: tuple[int, ...]
    per_cpu: bool
    fd_value: bool
    indexed: bool
    no_entries: bool
    needs_btf: bool
    needs_flag: str
    doc: str

    @property
    def c_name(self) -> str:
        """The enumerator in linux/bpf.h."""
        return f"BPF_MAP_TYPE_{self.name.upper()}"

    @property
    def fixed_key(self) -> int | None:
        """The only key size in bytes, or None where there is a choice."""
        return self.key_sizes[0] if len(self.key_sizes) == 1 else None

    @property
    def fixed_value(self) -> int | None:
        """The only value size in bytes, or None where there is a choice."""
        return self.value_sizes[0] if len(self.value_sizes) == 1 else None

    @property
    def no_key(self) -> bool:
        """Whether the map has no keys (queues, ring buffers, bloom filters, arenas)."""
        return self.key_sizes == (0,)

    @property
    def no_value(self) -> bool:
        """Whether the map has no values (ring buffers and arenas)."""
        return self.value_sizes == (0,)


@dataclass(frozen=True, slots=True)
class ProgramType:
    """One `enum bpf_prog_type`.

    `context` names the struct that r1 points to on entry, as ebpfasm.isa.contexts has it, or
    is None where the context is no struct of its own (tracepoint records, BTF-typed arguments).
    """

    id: int
    name: str
    since: str
    context: str | None
    doc: str

    @property
    def c_name(self) -> str:
        """The enumerator in linux/bpf.h."""
        return f"BPF_PROG_TYPE_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class AttachType:
    """One `enum bpf_attach_type`."""

    id: int
    name: str
    since: str

    @property
    def c_name(self) -> str:
        """The enumerator in linux/bpf.h."""
        return f"BPF_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class LinkType:
    """One `enum bpf_link_type`.

    Some links are older than their number: cgroup links came with 5.7, the enumeration with 5.8.
    """

    id: int
    name: str
    since: str

    @property
    def c_name(self) -> str:
        """The enumerator in linux/bpf.h."""
        return f"BPF_LINK_TYPE_{self.name.upper()}"


def _m(
    number: int,
    name: str,
    since: str,
    keys: tuple[int, ...],
    values: tuple[int, ...],
    traits: str,
    doc: str,
) -> MapType:
    """Build a row; `traits` are the words percpu, fd, index, noentries, btf and a flag's name."""
    words = traits.split()
    flag = next((word for word in words if word.startswith("BPF_F_")), "")
    return MapType(
        number, name, since, keys, values,
        per_cpu="percpu" in words, fd_value="fd" in words, indexed="index" in words,
        no_entries="noentries" in words, needs_btf="btf" in words,
        needs_flag=flag, doc=doc,
    )  # fmt: skip


_ANY: tuple[int, ...] = ()
_NO = (0,)
_P, _A, _L = ProgramType, AttachType, LinkType

# fmt: off

# enum bpf_map_type             since   key      value   traits                           doc
MAP_TYPES = KindTable("map_type", (
    _m( 0, "unspec",                "3.18", _ANY,    _ANY,   "",                              "No map: the number 0 is never created"),
    _m( 1, "hash",                  "3.19", _ANY,    _ANY,   "",                              "Hash table"),
    _m( 2, "array",                 "3.19", (4,),    _ANY,   "index",                         "Array, zeroed at creation; its elements are never deleted"),
    _m( 3, "prog_array",            "4.2",  (4,),    (4,),   "fd index",                      "Programs that bpf_tail_call jumps to"),
    _m( 4, "perf_event_array",      "4.3",  (4,),    (4,),   "fd index",                      "Perf events, one ring a CPU, that bpf_perf_event_output writes to"),
    _m( 5, "percpu_hash",           "4.6",  _ANY,    _ANY,   "percpu",                        "Hash table with a value for each CPU"),
    _m( 6, "percpu_array",          "4.6",  (4,),    _ANY,   "percpu index",                  "Array with a value for each CPU"),
    _m( 7, "stack_trace",           "4.6",  (4,),    _ANY,   "",                              "Call stacks by id; a value is an array of addresses, or of build ids"),
    _m( 8, "cgroup_array",          "4.8",  (4,),    (4,),   "fd index",                      "Cgroups that a task or packet is tested against"),
    _m( 9, "lru_hash",              "4.10", _ANY,    _ANY,   "",                              "Hash table that evicts the least recently used element when full"),
    _m(10, "lru_percpu_hash",       "4.10", _ANY,    _ANY,   "percpu",                        "Evicting hash table with a value for each CPU"),
    _m(11, "lpm_trie",              "4.11", _ANY,    _ANY,   "BPF_F_NO_PREALLOC",             "Longest-prefix match; a key is a u32 of prefix bits and 1 to 256 bytes"),
    _m(12, "array_of_maps",         "4.12", (4,),    (4,),   "fd index",                      "Array whose values are maps of one kind"),
    _m(13, "hash_of_maps",          "4.12", _ANY,    (4,),   "fd",                            "Hash table whose values are maps of one kind"),
    _m(14, "devmap",                "4.14", (4,),    (4, 8), "index",                         "Interfaces that XDP redirects to; 8-byte values add a program"),
    _m(15, "sockmap",               "4.14", (4,),    (4, 8), "fd index",                      "Array of sockets to redirect to"),
    _m(16, "cpumap",                "4.15", (4,),    (4, 8), "index",                         "CPUs that XDP hands packets to; a value is a queue size and maybe a program"),
    _m(17, "xskmap",                "4.18", (4,),    (4,),   "fd index",                      "AF_XDP sockets that XDP redirects to, usually by receive queue"),
    _m(18, "sockhash",              "4.18", _ANY,    (4, 8), "fd",                            "Hash table of sockets to redirect to"),
    _m(19, "cgroup_storage",        "4.19", (8, 16), _ANY,   "noentries",                     "A value for each cgroup and attachment; cgrp_storage replaces it"),
    _m(20, "reuseport_sockarray",   "4.19", (4,),    (4, 8), "fd index",                      "Sockets of a SO_REUSEPORT group to choose from"),
    _m(21, "percpu_cgroup_storage", "4.20", (8, 16), _ANY,   "percpu noentries",              "Cgroup storage with a value for each CPU"),
    _m(22, "queue",                 "4.20", _NO,     _ANY,   "",                              "First in, first out"),
    _m(23, "stack",                 "4.20", _NO,     _ANY,   "",                              "Last in, first out"),
    _m(24, "sk_storage",            "5.2",  (4,),    _ANY,   "noentries btf BPF_F_NO_PREALLOC", "A value that lives with a socket; user space's key is a socket descriptor"),
    _m(25, "devmap_hash",           "5.4",  (4,),    (4, 8), "",                              "Interfaces to redirect to under sparse keys"),
    _m(26, "struct_ops",            "5.6",  (4,),    _ANY,   "",                              "A kernel table of functions filled with programs; its value type comes from vmlinux BTF"),
    _m(27, "ringbuf",               "5.8",  _NO,     _NO,    "",                              "Ring to user space shared by all CPUs; max_entries is its size, pages and a power of two"),
    _m(28, "inode_storage",         "5.10", (4,),    _ANY,   "noentries btf BPF_F_NO_PREALLOC", "A value that lives with an inode; user space's key is a file descriptor"),
    _m(29, "task_storage",          "5.11", (4,),    _ANY,   "noentries btf BPF_F_NO_PREALLOC", "A value that lives with a task; user space's key is a pidfd"),
    _m(30, "bloom_filter",          "5.16", _NO,     _ANY,   "",                              "Set that answers 'surely not' or 'maybe'; map_extra is the number of hashes"),
    _m(31, "user_ringbuf",          "6.1",  _NO,     _NO,    "",                              "Ring from user space that a program drains"),
    _m(32, "cgrp_storage",          "6.2",  (4,),    _ANY,   "noentries btf BPF_F_NO_PREALLOC", "A value that lives with a cgroup; user space's key is a cgroup descriptor"),
    _m(33, "arena",                 "6.9",  _NO,     _NO,    "BPF_F_MMAPABLE",                "Sparse memory shared with user space; max_entries counts pages"),
    _m(34, "insn_array",            "6.19", (4,),    (16,),  "",                              "Places in a program, kept current while it is rewritten, for indirect jumps"),
    _m(35, "rhash",                 "7.2",  _ANY,    _ANY,   "BPF_F_NO_PREALLOC",             "Hash table that resizes itself"),
), aliases={
    "BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED": "cgroup_storage",
    "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED": "percpu_cgroup_storage",
})

# enum bpf_prog_type                since   context                     doc
PROGRAM_TYPES = KindTable("prog_type", (
    _P( 0, "unspec",                  "3.18", None,                      "No type yet: the number 0 is never loaded"),
    _P( 1, "socket_filter",           "3.19", "__sk_buff",               "Trims or drops what a socket receives"),
    _P( 2, "kprobe",                  "4.1",  "pt_regs",                 "Runs at a kernel or user-space function or its return"),
    _P( 3, "sched_cls",               "4.1",  "__sk_buff",               "Classifies and acts on packets in traffic control, tcx and netkit"),
    _P( 4, "sched_act",               "4.1",  "__sk_buff",               "Is an action of a traffic-control filter"),
    _P( 5, "tracepoint",              "4.7",  None,                      "Runs at a tracepoint with its formatted record"),
    _P( 6, "xdp",                     "4.8",  "xdp_md",                  "Decides on a packet in the driver, before the stack sees it"),
    _P( 7, "perf_event",              "4.9",  "bpf_perf_event_data",     "Runs when a perf event overflows"),
    _P( 8, "cgroup_skb",              "4.10", "__sk_buff",               "Passes or drops the packets of a cgroup's sockets"),
    _P( 9, "cgroup_sock",             "4.10", "bpf_sock",                "Runs when a cgroup's socket is created, bound or released"),
    _P(10, "lwt_in",                  "4.10", "__sk_buff",               "Sees packets that arrive over a lightweight tunnel route"),
    _P(11, "lwt_out",                 "4.10", "__sk_buff",               "Sees local packets that leave over a lightweight tunnel route"),
    _P(12, "lwt_xmit",                "4.10", "__sk_buff",               "Rewrites packets that a lightweight tunnel route sends"),
    _P(13, "sock_ops",                "4.13", "bpf_sock_ops",            "Follows and tunes the TCP connections of a cgroup"),
    _P(14, "sk_skb",                  "4.14", "__sk_buff",               "Parses and redirects the byte streams of a sockmap"),
    _P(15, "cgroup_device",           "4.15", "bpf_cgroup_dev_ctx",      "Allows or denies a cgroup's access to devices"),
    _P(16, "sk_msg",                  "4.17", "sk_msg_md",               "Decides on what a sockmap's socket sends"),
    _P(17, "raw_tracepoint",          "4.17", "bpf_raw_tracepoint_args", "Runs at a tracepoint with its raw arguments"),
    _P(18, "cgroup_sock_addr",        "4.17", "bpf_sock_addr",           "Sees and rewrites the addresses of socket calls in a cgroup"),
    _P(19, "lwt_seg6local",           "4.18", "__sk_buff",               "Is the End.BPF action of a segment-routing route"),
    _P(20, "lirc_mode2",              "4.18", None,                      "Decodes infrared remote controls; r1 points to one u32 event"),
    _P(21, "sk_reuseport",            "4.19", "sk_reuseport_md",         "Picks the socket of a SO_REUSEPORT group"),
    _P(22, "flow_dissector",          "4.20", "__sk_buff",               "Extracts the flow keys of a packet in place of the kernel's parser"),
    _P(23, "cgroup_sysctl",           "5.2",  "bpf_sysctl",              "Allows, denies or rewrites access to sysctls in a cgroup"),
    _P(24, "raw_tracepoint_writable", "5.2",  "bpf_raw_tracepoint_args", "Runs at a tracepoint whose first argument it may write"),
    _P(25, "cgroup_sockopt",          "5.3",  "bpf_sockopt",             "Sees and rewrites getsockopt and setsockopt in a cgroup"),
    _P(26, "tracing",                 "5.5",  None,                      "Runs at a function, tracepoint or iterator with BTF-typed arguments"),
    _P(27, "struct_ops",              "5.6",  None,                      "Implements a function of a kernel operations table"),
    _P(28, "ext",                     "5.6",  None,                      "Replaces a global function of a loaded program"),
    _P(29, "lsm",                     "5.7",  None,                      "Runs at a security hook and may deny it"),
    _P(30, "sk_lookup",               "5.9",  "bpf_sk_lookup",           "Picks the listening or unconnected socket for a packet"),
    _P(31, "syscall",                 "5.14", None,                      "Runs on request, may sleep and may call bpf(2)"),
    _P(32, "netfilter",               "6.4",  "bpf_nf_ctx",              "Decides on a packet at a netfilter hook"),
), aliases={})

# enum bpf_attach_type
ATTACH_TYPES = KindTable("attach_type", (
    _A( 0, "cgroup_inet_ingress",            "4.10"),
    _A( 1, "cgroup_inet_egress",             "4.10"),
    _A( 2, "cgroup_inet_sock_create",        "4.10"),
    _A( 3, "cgroup_sock_ops",                "4.13"),
    _A( 4, "sk_skb_stream_parser",           "4.14"),
    _A( 5, "sk_skb_stream_verdict",          "4.14"),
    _A( 6, "cgroup_device",                  "4.15"),
    _A( 7, "sk_msg_verdict",                 "4.17"),
    _A( 8, "cgroup_inet4_bind",              "4.17"),
    _A( 9, "cgroup_inet6_bind",              "4.17"),
    _A(10, "cgroup_inet4_connect",           "4.17"),
    _A(11, "cgroup_inet6_connect",           "4.17"),
    _A(12, "cgroup_inet4_post_bind",         "4.17"),
    _A(13, "cgroup_inet6_post_bind",         "4.17"),
    _A(14, "cgroup_udp4_sendmsg",            "4.18"),
    _A(15, "cgroup_udp6_sendmsg",            "4.18"),
    _A(16, "lirc_mode2",                     "4.18"),
    _A(17, "flow_dissector",                 "4.20"),
    _A(18, "cgroup_sysctl",                  "5.2"),
    _A(19, "cgroup_udp4_recvmsg",            "5.2"),
    _A(20, "cgroup_udp6_recvmsg",            "5.2"),
    _A(21, "cgroup_getsockopt",              "5.3"),
    _A(22, "cgroup_setsockopt",              "5.3"),
    _A(23, "trace_raw_tp",                   "5.5"),
    _A(24, "trace_fentry",                   "5.5"),
    _A(25, "trace_fexit",                    "5.5"),
    _A(26, "modify_return",                  "5.7"),
    _A(27, "lsm_mac",                        "5.7"),
    _A(28, "trace_iter",                     "5.8"),
    _A(29, "cgroup_inet4_getpeername",       "5.8"),
    _A(30, "cgroup_inet6_getpeername",       "5.8"),
    _A(31, "cgroup_inet4_getsockname",       "5.8"),
    _A(32, "cgroup_inet6_getsockname",       "5.8"),
    _A(33, "xdp_devmap",                     "5.8"),
    _A(34, "cgroup_inet_sock_release",       "5.9"),
    _A(35, "xdp_cpumap",                     "5.9"),
    _A(36, "sk_lookup",                      "5.9"),
    _A(37, "xdp",                            "5.9"),
    _A(38, "sk_skb_verdict",                 "5.13"),
    _A(39, "sk_reuseport_select",            "5.14"),
    _A(40, "sk_reuseport_select_or_migrate", "5.14"),
    _A(41, "perf_event",                     "5.15"),
    _A(42, "trace_kprobe_multi",             "5.18"),
    _A(43, "lsm_cgroup",                     "6.0"),
    _A(44, "struct_ops",                     "6.4"),
    _A(45, "netfilter",                      "6.4"),
    _A(46, "tcx_ingress",                    "6.6"),
    _A(47, "tcx_egress",                     "6.6"),
    _A(48, "trace_uprobe_multi",             "6.6"),
    _A(49, "cgroup_unix_connect",            "6.7"),
    _A(50, "cgroup_unix_sendmsg",            "6.7"),
    _A(51, "cgroup_unix_recvmsg",            "6.7"),
    _A(52, "cgroup_unix_getpeername",        "6.7"),
    _A(53, "cgroup_unix_getsockname",        "6.7"),
    _A(54, "netkit_primary",                 "6.7"),
    _A(55, "netkit_peer",                    "6.7"),
    _A(56, "trace_kprobe_session",           "6.10"),
    _A(57, "trace_uprobe_session",           "6.13"),
    _A(58, "trace_fsession",                 "7.0"),
    _A(59, "trace_fentry_multi",             "7.2"),
    _A(60, "trace_fexit_multi",              "7.2"),
    _A(61, "trace_fsession_multi",           "7.2"),
), aliases={})

# enum bpf_link_type
LINK_TYPES = KindTable("link_type", (
    _L( 0, "unspec",         "5.8"),
    _L( 1, "raw_tracepoint", "5.8"),
    _L( 2, "tracing",        "5.8"),
    _L( 3, "cgroup",         "5.8"),
    _L( 4, "iter",           "5.8"),
    _L( 5, "netns",          "5.8"),
    _L( 6, "xdp",            "5.9"),
    _L( 7, "perf_event",     "5.15"),
    _L( 8, "kprobe_multi",   "5.18"),
    _L( 9, "struct_ops",     "5.19"),
    _L(10, "netfilter",      "6.4"),
    _L(11, "tcx",            "6.6"),
    _L(12, "uprobe_multi",   "6.6"),
    _L(13, "netkit",         "6.7"),
    _L(14, "sockmap",        "6.10"),
    _L(15, "tracing_multi",  "7.2"),
), aliases={})
# fmt: on
