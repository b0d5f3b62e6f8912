"""Named constants that a program uses as immediates: return codes, flags, protocol numbers.

Each group says which uapi header it is from and who uses it; the values are the header's.
EtherTypes are numbers of the host: a packet holds them in network byte order, so on a
little-endian machine either the loaded field or the constant has to be swapped.

>>> CONSTANTS["XDP_PASS"]
2
>>> find("BPF_F_CURRENT_CPU")
Constant(name='BPF_F_CURRENT_CPU', value=4294967295, header='linux/bpf.h', use='bpf_perf_event_output, bpf_perf_event_read', since='')
"""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """One named number.

    `value` is signed where the header says so (TC_ACT_UNSPEC is -1). `use` names what takes or
    returns it. `since` is the first Linux release whose header has it, empty up to 6.1.
    """

    name: str
    value: int
    header: str
    use: str
    since: str = ""


def find(name: str) -> Constant | None:
    """Return the row of a constant, None if there is none of this name."""
    return BY_NAME.get(name)


_Row = tuple[str, int] | tuple[str, int, str]


def _group(header: str, use: str, rows: tuple[_Row, ...]) -> Iterator[Constant]:
    for row in rows:
        yield Constant(row[0], row[1], header, use, *row[2:])


# fmt: off

ROWS: tuple[Constant, ...] = (
    *_group("linux/bpf.h, enum xdp_action", "xdp: what the program returns", (
        ("XDP_ABORTED",  0),
        ("XDP_DROP",     1),
        ("XDP_PASS",     2),
        ("XDP_TX",       3),
        ("XDP_REDIRECT", 4),
    )),
    *_group("linux/pkt_cls.h", "sched_cls, sched_act: what the program returns", (
        ("TC_ACT_UNSPEC",     -1),
        ("TC_ACT_OK",         0),
        ("TC_ACT_RECLASSIFY", 1),
        ("TC_ACT_SHOT",       2),
        ("TC_ACT_PIPE",       3),
        ("TC_ACT_STOLEN",     4),
        ("TC_ACT_QUEUED",     5),
        ("TC_ACT_REPEAT",     6),
        ("TC_ACT_REDIRECT",   7),
        ("TC_ACT_TRAP",       8),
    )),
    *_group("linux/bpf.h, enum tcx_action_base", "sched_cls on tcx: what the program returns", (
        ("TCX_NEXT",     -1, "6.6"),
        ("TCX_PASS",     0, "6.6"),
        ("TCX_DROP",     2, "6.6"),
        ("TCX_REDIRECT", 7, "6.6"),
    )),
    *_group("linux/bpf.h, enum bpf_ret_code", "lwt_*, flow_dissector and others: what the program returns", (
        ("BPF_OK",                      0),
        ("BPF_DROP",                    2),
        ("BPF_REDIRECT",                7),
        ("BPF_LWT_REROUTE",             128),
        ("BPF_FLOW_DISSECTOR_CONTINUE", 129),
    )),
    *_group("linux/bpf.h, enum sk_action", "sk_skb, sk_msg, sk_lookup and others: what the program returns", (
        ("SK_DROP", 0),
        ("SK_PASS", 1),
    )),
    *_group("linux/netfilter.h", "netfilter: what the program returns", (
        ("NF_DROP",   0),
        ("NF_ACCEPT", 1),
    )),
    *_group("linux/bpf.h", "BPF_MAP_UPDATE_ELEM, bpf_map_update_elem", (
        ("BPF_ANY",        0),
        ("BPF_NOEXIST",    1),
        ("BPF_EXIST",      2),
        ("BPF_F_LOCK",     4),
        ("BPF_F_CPU",      8, "7.0"),
        ("BPF_F_ALL_CPUS", 16, "7.0"),
    )),
    *_group("linux/bpf.h", "BPF_MAP_CREATE", (
        ("BPF_F_NO_PREALLOC",      0x1),
        ("BPF_F_NO_COMMON_LRU",    0x2),
        ("BPF_F_NUMA_NODE",        0x4),
        ("BPF_F_RDONLY",           0x8),
        ("BPF_F_WRONLY",           0x10),
        ("BPF_F_STACK_BUILD_ID",   0x20),
        ("BPF_F_ZERO_SEED",        0x40),
        ("BPF_F_RDONLY_PROG",      0x80),
        ("BPF_F_WRONLY_PROG",      0x100),
        ("BPF_F_CLONE",            0x200),
        ("BPF_F_MMAPABLE",         0x400),
        ("BPF_F_PRESERVE_ELEMS",   0x800),
        ("BPF_F_INNER_MAP",        0x1000),
        ("BPF_F_LINK",             0x2000, "6.4"),
        ("BPF_F_PATH_FD",          0x4000, "6.5"),
        ("BPF_F_VTYPE_BTF_OBJ_FD", 0x8000, "6.9"),
        ("BPF_F_TOKEN_FD",         0x10000, "6.9"),
        ("BPF_F_SEGV_ON_FAULT",    0x20000, "6.9"),
        ("BPF_F_NO_USER_CONV",     0x40000, "6.9"),
        ("BPF_F_RB_OVERWRITE",     0x80000, "6.19"),
    )),
    *_group("linux/bpf.h", "BPF_PROG_LOAD", (
        ("BPF_F_STRICT_ALIGNMENT",    0x1),
        ("BPF_F_ANY_ALIGNMENT",       0x2),
        ("BPF_F_TEST_RND_HI32",       0x4),
        ("BPF_F_TEST_STATE_FREQ",     0x8),
        ("BPF_F_SLEEPABLE",           0x10),
        ("BPF_F_XDP_HAS_FRAGS",       0x20),
        ("BPF_F_XDP_DEV_BOUND_ONLY",  0x40, "6.3"),
        ("BPF_F_TEST_REG_INVARIANTS", 0x80, "6.8"),
    )),
    *_group("linux/bpf.h", "attachments, links, queries and test runs", (
        ("BPF_F_ALLOW_OVERRIDE",             0x1),
        ("BPF_F_ALLOW_MULTI",                0x2),
        ("BPF_F_REPLACE",                    0x4),
        ("BPF_F_BEFORE",                     0x8, "6.6"),
        ("BPF_F_AFTER",                      0x10, "6.6"),
        ("BPF_F_ID",                         0x20, "6.6"),
        ("BPF_F_PREORDER",                   0x40, "6.15"),
        ("BPF_F_KPROBE_MULTI_RETURN",        0x1),
        ("BPF_F_UPROBE_MULTI_RETURN",        0x1, "6.6"),
        ("BPF_F_UPROBE_MULTI_PATH_FD",       0x2, "7.2"),
        ("BPF_F_NETFILTER_IP_DEFRAG",        0x1, "6.6"),
        ("BPF_F_QUERY_EFFECTIVE",            0x1),
        ("BPF_F_TEST_RUN_ON_CPU",            0x1),
        ("BPF_F_TEST_XDP_LIVE_FRAMES",       0x2),
        ("BPF_F_TEST_SKB_CHECKSUM_COMPLETE", 0x4, "6.11"),
    )),
    *_group("linux/bpf.h", "bpf_skb_store_bytes", (
        ("BPF_F_RECOMPUTE_CSUM",  0x1),
        ("BPF_F_INVALIDATE_HASH", 0x2),
    )),
    *_group("linux/bpf.h", "bpf_l3_csum_replace, bpf_l4_csum_replace", (
        ("BPF_F_HDR_FIELD_MASK", 0xf),
    )),
    *_group("linux/bpf.h", "bpf_l4_csum_replace", (
        ("BPF_F_PSEUDO_HDR",     0x10),
        ("BPF_F_MARK_MANGLED_0", 0x20),
        ("BPF_F_MARK_ENFORCE",   0x40),
        ("BPF_F_IPV6",           0x80, "6.16"),
    )),
    *_group("linux/bpf.h", "bpf_skb_get_tunnel_key, bpf_skb_set_tunnel_key", (
        ("BPF_F_TUNINFO_IPV6", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_skb_set_tunnel_key", (
        ("BPF_F_ZERO_CSUM_TX",  0x2),
        ("BPF_F_DONT_FRAGMENT", 0x4),
        ("BPF_F_SEQ_NUMBER",    0x8),
        ("BPF_F_NO_TUNNEL_KEY", 0x10, "6.3"),
    )),
    *_group("linux/bpf.h", "bpf_skb_get_tunnel_key", (
        ("BPF_F_TUNINFO_FLAGS", 0x10),
    )),
    *_group("linux/bpf.h", "bpf_get_stackid, bpf_get_stack", (
        ("BPF_F_SKIP_FIELD_MASK", 0xff),
        ("BPF_F_USER_STACK",      0x100),
        ("BPF_F_FAST_STACK_CMP",  0x200),
        ("BPF_F_REUSE_STACKID",   0x400),
        ("BPF_F_USER_BUILD_ID",   0x800),
    )),
    *_group("linux/bpf.h", "bpf_perf_event_output, bpf_perf_event_read", (
        ("BPF_F_INDEX_MASK",  0xffffffff),
        ("BPF_F_CURRENT_CPU", 0xffffffff),
        ("BPF_F_CTXLEN_MASK", 0xfffff00000000),
    )),
    *_group("linux/bpf.h", "bpf_sk_lookup_tcp and its like: the namespace the program runs in", (
        ("BPF_F_CURRENT_NETNS", -1),
    )),
    *_group("linux/bpf.h", "bpf_csum_level", (
        ("BPF_CSUM_LEVEL_QUERY", 0),
        ("BPF_CSUM_LEVEL_INC",   1),
        ("BPF_CSUM_LEVEL_DEC",   2),
        ("BPF_CSUM_LEVEL_RESET", 3),
    )),
    *_group("linux/bpf.h", "bpf_skb_adjust_room: mode", (
        ("BPF_ADJ_ROOM_NET", 0),
        ("BPF_ADJ_ROOM_MAC", 1),
    )),
    *_group("linux/bpf.h", "bpf_skb_adjust_room: flags", (
        ("BPF_F_ADJ_ROOM_FIXED_GSO",     0x1),
        ("BPF_F_ADJ_ROOM_ENCAP_L3_IPV4", 0x2),
        ("BPF_F_ADJ_ROOM_ENCAP_L3_IPV6", 0x4),
        ("BPF_F_ADJ_ROOM_ENCAP_L4_GRE",  0x8),
        ("BPF_F_ADJ_ROOM_ENCAP_L4_UDP",  0x10),
        ("BPF_F_ADJ_ROOM_NO_CSUM_RESET", 0x20),
        ("BPF_F_ADJ_ROOM_ENCAP_L2_ETH",  0x40),
        ("BPF_F_ADJ_ROOM_DECAP_L3_IPV4", 0x80, "6.3"),
        ("BPF_F_ADJ_ROOM_DECAP_L3_IPV6", 0x100, "6.3"),
        ("BPF_F_ADJ_ROOM_DECAP_L4_GRE",  0x200, "7.3"),
        ("BPF_F_ADJ_ROOM_DECAP_L4_UDP",  0x400, "7.3"),
        ("BPF_F_ADJ_ROOM_DECAP_IPXIP4",  0x800, "7.3"),
        ("BPF_F_ADJ_ROOM_DECAP_IPXIP6",  0x1000, "7.3"),
    )),
    *_group("linux/bpf.h", "bpf_skb_adjust_room: length of an added L2 header", (
        ("BPF_ADJ_ROOM_ENCAP_L2_MASK",  255),
        ("BPF_ADJ_ROOM_ENCAP_L2_SHIFT", 56),
    )),
    *_group("linux/bpf.h", "bpf_sysctl_get_name", (
        ("BPF_F_SYSCTL_BASE_NAME", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_sk_storage_get and its like", (
        ("BPF_LOCAL_STORAGE_GET_F_CREATE", 0x1),
        ("BPF_SK_STORAGE_GET_F_CREATE",    0x1),
    )),
    *_group("linux/bpf.h", "bpf_read_branch_records", (
        ("BPF_F_GET_BRANCH_RECORDS_SIZE", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_ringbuf_submit, bpf_ringbuf_discard, bpf_ringbuf_output", (
        ("BPF_RB_NO_WAKEUP",    0x1),
        ("BPF_RB_FORCE_WAKEUP", 0x2),
    )),
    *_group("linux/bpf.h", "bpf_ringbuf_query", (
        ("BPF_RB_AVAIL_DATA",    0),
        ("BPF_RB_RING_SIZE",     1),
        ("BPF_RB_CONS_POS",      2),
        ("BPF_RB_PROD_POS",      3),
        ("BPF_RB_OVERWRITE_POS", 4, "6.19"),
    )),
    *_group("linux/bpf.h", "ringbuf: the header of a record", (
        ("BPF_RINGBUF_BUSY_BIT",    0x80000000),
        ("BPF_RINGBUF_DISCARD_BIT", 0x40000000),
        ("BPF_RINGBUF_HDR_SZ",      0x8),
    )),
    *_group("linux/bpf.h", "bpf_sk_assign in sk_lookup programs", (
        ("BPF_SK_LOOKUP_F_REPLACE",      0x1),
        ("BPF_SK_LOOKUP_F_NO_REUSEPORT", 0x2),
    )),
    *_group("linux/bpf.h", "bpf_skb_load_bytes_relative", (
        ("BPF_HDR_START_MAC", 0),
        ("BPF_HDR_START_NET", 1),
    )),
    *_group("linux/bpf.h", "bpf_lwt_push_encap", (
        ("BPF_LWT_ENCAP_SEG6",        0),
        ("BPF_LWT_ENCAP_SEG6_INLINE", 1),
        ("BPF_LWT_ENCAP_IP",          2),
    )),
    *_group("linux/bpf.h", "bpf_bprm_opts_set", (
        ("BPF_F_BPRM_SECUREEXEC", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_redirect, bpf_redirect_map, bpf_clone_redirect, bpf_redirect_peer", (
        ("BPF_F_INGRESS",         0x1),
        ("BPF_F_EGRESS",          0x2, "7.3"),
        ("BPF_F_BROADCAST",       0x8),
        ("BPF_F_EXCLUDE_INGRESS", 0x10),
    )),
    *_group("linux/bpf.h", "bpf_skb_set_tstamp", (
        ("BPF_SKB_TSTAMP_UNSPEC",        0),
        ("BPF_SKB_TSTAMP_DELIVERY_MONO", 1),
        ("BPF_SKB_CLOCK_REALTIME",       0, "6.10"),
        ("BPF_SKB_CLOCK_MONOTONIC",      1, "6.10"),
        ("BPF_SKB_CLOCK_TAI",            2, "6.10"),
    )),
    *_group("linux/bpf.h", "bpf_fib_lookup: flags", (
        ("BPF_FIB_LOOKUP_DIRECT",     0x1),
        ("BPF_FIB_LOOKUP_OUTPUT",     0x2),
        ("BPF_FIB_LOOKUP_SKIP_NEIGH", 0x4, "6.3"),
        ("BPF_FIB_LOOKUP_TBID",       0x8, "6.5"),
        ("BPF_FIB_LOOKUP_SRC",        0x10, "6.7"),
        ("BPF_FIB_LOOKUP_MARK",       0x20, "6.10"),
    )),
    *_group("linux/bpf.h", "bpf_fib_lookup: result", (
        ("BPF_FIB_LKUP_RET_SUCCESS",      0),
        ("BPF_FIB_LKUP_RET_BLACKHOLE",    1),
        ("BPF_FIB_LKUP_RET_UNREACHABLE",  2),
        ("BPF_FIB_LKUP_RET_PROHIBIT",     3),
        ("BPF_FIB_LKUP_RET_NOT_FWDED",    4),
        ("BPF_FIB_LKUP_RET_FWD_DISABLED", 5),
        ("BPF_FIB_LKUP_RET_UNSUPP_LWT",   6),
        ("BPF_FIB_LKUP_RET_NO_NEIGH",     7),
        ("BPF_FIB_LKUP_RET_FRAG_NEEDED",  8),
        ("BPF_FIB_LKUP_RET_NO_SRC_ADDR",  9, "6.7"),
    )),
    *_group("linux/bpf.h", "bpf_check_mtu: flags", (
        ("BPF_MTU_CHK_SEGS", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_check_mtu: result", (
        ("BPF_MTU_CHK_RET_SUCCESS",     0),
        ("BPF_MTU_CHK_RET_FRAG_NEEDED", 1),
        ("BPF_MTU_CHK_RET_SEGS_TOOBIG", 2),
    )),
    *_group("linux/bpf.h", "bpf_load_hdr_opt", (
        ("BPF_LOAD_HDR_OPT_TCP_SYN", 0x1),
    )),
    *_group("linux/bpf.h", "bpf_snprintf_btf", (
        ("BTF_F_COMPACT", 0x1),
        ("BTF_F_NONAME",  0x2),
        ("BTF_F_PTR_RAW", 0x4),
        ("BTF_F_ZERO",    0x8),
    )),
    *_group("linux/bpf.h", "bpf_timer_start", (
        ("BPF_F_TIMER_ABS",     0x1, "6.4"),
        ("BPF_F_TIMER_CPU_PIN", 0x2, "6.7"),
    )),
    *_group("linux/bpf.h", "bpf_copy_from_user_str and other kfuncs", (
        ("BPF_F_PAD_ZEROS", 0x1, "6.12"),
    )),
    *_group("linux/bpf.h", "sock_ops: callbacks to ask for", (
        ("BPF_SOCK_OPS_RTO_CB_FLAG",                   0x1),
        ("BPF_SOCK_OPS_RETRANS_CB_FLAG",               0x2),
        ("BPF_SOCK_OPS_STATE_CB_FLAG",                 0x4),
        ("BPF_SOCK_OPS_RTT_CB_FLAG",                   0x8),
        ("BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG",     0x10),
        ("BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG", 0x20),
        ("BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG",         0x40),
        ("BPF_SOCK_OPS_ALL_CB_FLAGS",                  0x7f),
    )),
    *_group("linux/bpf.h", "sock_ops: op", (
        ("BPF_SOCK_OPS_VOID",                   0),
        ("BPF_SOCK_OPS_TIMEOUT_INIT",           1),
        ("BPF_SOCK_OPS_RWND_INIT",              2),
        ("BPF_SOCK_OPS_TCP_CONNECT_CB",         3),
        ("BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB",  4),
        ("BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB", 5),
        ("BPF_SOCK_OPS_NEEDS_ECN",              6),
        ("BPF_SOCK_OPS_BASE_RTT",               7),
        ("BPF_SOCK_OPS_RTO_CB",                 8),
        ("BPF_SOCK_OPS_RETRANS_CB",             9),
        ("BPF_SOCK_OPS_STATE_CB",               10),
        ("BPF_SOCK_OPS_TCP_LISTEN_CB",          11),
        ("BPF_SOCK_OPS_RTT_CB",                 12),
        ("BPF_SOCK_OPS_PARSE_HDR_OPT_CB",       13),
        ("BPF_SOCK_OPS_HDR_OPT_LEN_CB",         14),
        ("BPF_SOCK_OPS_WRITE_HDR_OPT_CB",       15),
        ("BPF_SOCK_OPS_TSTAMP_SCHED_CB",        16, "6.15"),
        ("BPF_SOCK_OPS_TSTAMP_SND_SW_CB",       17, "6.15"),
        ("BPF_SOCK_OPS_TSTAMP_SND_HW_CB",       18, "6.15"),
        ("BPF_SOCK_OPS_TSTAMP_ACK_CB",          19, "6.15"),
        ("BPF_SOCK_OPS_TSTAMP_SENDMSG_CB",      20, "6.15"),
    )),
    *_group("linux/bpf.h", "sock_ops: args[0] of header callbacks", (
        ("BPF_WRITE_HDR_TCP_CURRENT_MSS",   1),
        ("BPF_WRITE_HDR_TCP_SYNACK_COOKIE", 2),
    )),
    *_group("linux/bpf.h", "sockets: callbacks to ask for", (
        ("SK_BPF_CB_TX_TIMESTAMPING", 0x1, "6.15"),
        ("SK_BPF_CB_MASK",            0x1, "6.15"),
    )),
    *_group("linux/bpf.h", "TCP states", (
        ("BPF_TCP_ESTABLISHED",    1),
        ("BPF_TCP_SYN_SENT",       2),
        ("BPF_TCP_SYN_RECV",       3),
        ("BPF_TCP_FIN_WAIT1",      4),
        ("BPF_TCP_FIN_WAIT2",      5),
        ("BPF_TCP_TIME_WAIT",      6),
        ("BPF_TCP_CLOSE",          7),
        ("BPF_TCP_CLOSE_WAIT",     8),
        ("BPF_TCP_LAST_ACK",       9),
        ("BPF_TCP_LISTEN",         10),
        ("BPF_TCP_CLOSING",        11),
        ("BPF_TCP_NEW_SYN_RECV",   12),
        ("BPF_TCP_BOUND_INACTIVE", 13, "6.8"),
    )),
    *_group("linux/bpf.h", "bpf_setsockopt: options of TCP and of sockets", (
        ("TCP_BPF_IW",                1001),
        ("TCP_BPF_SNDCWND_CLAMP",     1002),
        ("TCP_BPF_DELACK_MAX",        1003),
        ("TCP_BPF_RTO_MIN",           1004),
        ("TCP_BPF_SYN",               1005),
        ("TCP_BPF_SYN_IP",            1006),
        ("TCP_BPF_SYN_MAC",           1007),
        ("TCP_BPF_SOCK_OPS_CB_FLAGS", 1008, "6.12"),
        ("SK_BPF_CB_FLAGS",           1009, "6.15"),
        ("SK_BPF_BYPASS_PROT_MEM",    1010, "6.19"),
    )),
    *_group("linux/bpf.h", "flow_dissector: flags", (
        ("BPF_FLOW_DISSECTOR_F_PARSE_1ST_FRAG",     0x1),
        ("BPF_FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL", 0x2),
        ("BPF_FLOW_DISSECTOR_F_STOP_AT_ENCAP",      0x4),
    )),
    *_group("linux/bpf.h", "cgroup_device: access", (
        ("BPF_DEVCG_ACC_MKNOD", 0x1),
        ("BPF_DEVCG_ACC_READ",  0x2),
        ("BPF_DEVCG_ACC_WRITE", 0x4),
    )),
    *_group("linux/bpf.h", "cgroup_device: kind", (
        ("BPF_DEVCG_DEV_BLOCK", 0x1),
        ("BPF_DEVCG_DEV_CHAR",  0x2),
    )),
    *_group("linux/if_ether.h", "EtherTypes, as numbers of the host: packets hold them in network byte order", (
        ("ETH_P_ERSPAN2",   0x22EB),
        ("ETH_P_IP",        0x0800),
        ("ETH_P_X25",       0x0805),
        ("ETH_P_ARP",       0x0806),
        ("ETH_P_BATMAN",    0x4305),
        ("ETH_P_TEB",       0x6558),
        ("ETH_P_RARP",      0x8035),
        ("ETH_P_8021Q",     0x8100),
        ("ETH_P_ERSPAN",    0x88BE),
        ("ETH_P_IPX",       0x8137),
        ("ETH_P_IPV6",      0x86DD),
        ("ETH_P_PAUSE",     0x8808),
        ("ETH_P_SLOW",      0x8809),
        ("ETH_P_MPLS_UC",   0x8847),
        ("ETH_P_MPLS_MC",   0x8848),
        ("ETH_P_PPP_DISC",  0x8863),
        ("ETH_P_PPP_SES",   0x8864),
        ("ETH_P_PAE",       0x888E),
        ("ETH_P_PROFINET",  0x8892),
        ("ETH_P_AOE",       0x88A2),
        ("ETH_P_ETHERCAT",  0x88A4),
        ("ETH_P_8021AD",    0x88A8),
        ("ETH_P_TIPC",      0x88CA),
        ("ETH_P_LLDP",      0x88CC),
        ("ETH_P_MACSEC",    0x88E5),
        ("ETH_P_8021AH",    0x88E7),
        ("ETH_P_MVRP",      0x88F5),
        ("ETH_P_1588",      0x88F7),
        ("ETH_P_PRP",       0x88FB),
        ("ETH_P_FCOE",      0x8906),
        ("ETH_P_HSR",       0x892F),
        ("ETH_P_NSH",       0x894F),
        ("ETH_P_LOOPBACK",  0x9000),
        ("ETH_P_QINQ1",     0x9100),
        ("ETH_P_802_3_MIN", 0x0600),
        ("ETH_P_802_3",     0x0001),
        ("ETH_P_ALL",       0x0003),
        ("ETH_P_802_2",     0x0004),
        ("ETH_P_CAN",       0x000C),
        ("ETH_P_CANFD",     0x000D),
    )),
    *_group("linux/if_ether.h", "Ethernet header sizes", (
        ("ETH_ALEN", 6),
        ("ETH_HLEN", 14),
    )),
    *_group("linux/in.h", "IP protocols", (
        ("IPPROTO_IP",       0),
        ("IPPROTO_ICMP",     1),
        ("IPPROTO_IGMP",     2),
        ("IPPROTO_IPIP",     4),
        ("IPPROTO_TCP",      6),
        ("IPPROTO_EGP",      8),
        ("IPPROTO_PUP",      12),
        ("IPPROTO_UDP",      17),
        ("IPPROTO_IDP",      22),
        ("IPPROTO_TP",       29),
        ("IPPROTO_DCCP",     33),
        ("IPPROTO_IPV6",     41),
        ("IPPROTO_RSVP",     46),
        ("IPPROTO_GRE",      47),
        ("IPPROTO_ESP",      50),
        ("IPPROTO_AH",       51),
        ("IPPROTO_MTP",      92),
        ("IPPROTO_BEETPH",   94),
        ("IPPROTO_ENCAP",    98),
        ("IPPROTO_PIM",      103),
        ("IPPROTO_COMP",     108),
        ("IPPROTO_L2TP",     115),
        ("IPPROTO_SCTP",     132),
        ("IPPROTO_UDPLITE",  136),
        ("IPPROTO_MPLS",     137),
        ("IPPROTO_ETHERNET", 143),
        ("IPPROTO_RAW",      255),
        ("IPPROTO_MPTCP",    262),
    )),
    *_group("linux/in6.h", "IPv6 extension headers and ICMPv6", (
        ("IPPROTO_HOPOPTS",  0),
        ("IPPROTO_ROUTING",  43),
        ("IPPROTO_FRAGMENT", 44),
        ("IPPROTO_ICMPV6",   58),
        ("IPPROTO_NONE",     59),
        ("IPPROTO_DSTOPTS",  60),
        ("IPPROTO_MH",       135),
    )),
    *_group("linux/if_packet.h", "Packet types: __sk_buff.pkt_type", (
        ("PACKET_HOST",      0),
        ("PACKET_BROADCAST", 1),
        ("PACKET_MULTICAST", 2),
        ("PACKET_OTHERHOST", 3),
        ("PACKET_OUTGOING",  4),
    )),
    *_group("sys/socket.h", "Address families", (
        ("AF_UNSPEC",  0),
        ("AF_UNIX",    1),
        ("AF_INET",    2),
        ("AF_INET6",   10),
        ("AF_NETLINK", 16),
        ("AF_PACKET",  17),
        ("AF_XDP",     44),
    )),
    *_group("sys/socket.h", "Socket types", (
        ("SOCK_STREAM", 1),
        ("SOCK_DGRAM",  2),
        ("SOCK_RAW",    3),
    )),
)
# fmt: on

BY_NAME: dict[str, Constant] = {row.name: row for row in ROWS}
CONSTANTS: dict[str, int] = {row.name: row.value for row in ROWS}
