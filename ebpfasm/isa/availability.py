"""Which helper functions a program of each type may call, as of Linux 6.18.

A type's set is the union over its attach types and over sleepable and other programs; the
kernel looks closer when it loads one. Where groups are named after a function of the kernel
(`bpf_base_func_proto` and its like), they say what that function grants to a program with all
capabilities. Names are without `bpf_`.
"""

from __future__ import annotations

from collections.abc import Mapping

Names = frozenset[str]


def _names(text: str) -> Names:
    return frozenset(text.split())


# ---- Groups that every type has: bpf_base_func_proto in kernel/bpf/helpers.c.

MAPS = _names("""
    map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem
    map_lookup_percpu_elem for_each_map_elem tail_call
""")
RING_BUFFERS = _names("""
    ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query
    ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr user_ringbuf_drain
""")
DYNPTRS = _names("dynptr_from_mem dynptr_read dynptr_write dynptr_data")
CLOCKS = _names("ktime_get_ns ktime_get_boot_ns ktime_get_tai_ns jiffies64")
LOCKS_AND_TIMERS = _names("""
    spin_lock spin_unlock timer_init timer_set_callback timer_start timer_cancel kptr_xchg
""")
TEXT = _names("strtol strtoul strncmp snprintf snprintf_btf trace_printk trace_vprintk")
PROCESSOR = _names("""
    get_smp_processor_id get_numa_node_id get_prandom_u32 per_cpu_ptr this_cpu_ptr loop
    perf_event_read perf_event_read_value get_branch_snapshot
""")
TASKS = _names("""
    get_current_pid_tgid get_ns_current_pid_tgid get_current_uid_gid get_current_comm
    get_current_task get_current_task_btf task_pt_regs get_task_stack find_vma
    task_storage_get task_storage_delete send_signal send_signal_thread
""")
CGROUPS = _names("""
    get_cgroup_classid get_current_cgroup_id get_current_ancestor_cgroup_id
    current_task_under_cgroup cgrp_storage_get cgrp_storage_delete
""")
PROBE_READS = _names("""
    probe_read_user probe_read_user_str probe_read_kernel probe_read_kernel_str
""")
BASE = (
    MAPS | RING_BUFFERS | DYNPTRS | CLOCKS | LOCKS_AND_TIMERS
    | TEXT | PROCESSOR | TASKS | CGROUPS | PROBE_READS
)  # fmt: skip

# Also in the kernel's base set, but refused to a program that is not sleepable.
SLEEPABLE = _names("copy_from_user copy_from_user_task")

# ---- Tracing: kernel/trace/bpf_trace.c.

TRACING = BASE | _names("""
    probe_read probe_read_str probe_write_user perf_event_output get_stackid get_stack
    get_func_ip get_attach_cookie
""")
SOCKET_CASTS = _names("""
    skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock
    skc_to_udp6_sock skc_to_unix_sock skc_to_mptcp_sock
""")
# tracing_prog_func_proto, less what only a traced function or an iterator can be asked for.
BTF_TRACING = SOCKET_CASTS | _names("""
    get_socket_cookie sock_from_file skb_output xdp_output xdp_get_buff_len
""")
TRACED_FUNCTION = _names("get_func_arg get_func_ret get_func_arg_cnt d_path")
ITERATOR_OUTPUT = _names("seq_printf seq_write seq_printf_btf")

# ---- Networking: net/core/filter.c.

SOCKET_OPTIONS = _names("setsockopt getsockopt")
SOCKET_STORAGE = _names("sk_storage_get sk_storage_delete")
SOCKET_LOOKUP = _names("sk_lookup_tcp sk_lookup_udp skc_lookup_tcp sk_release")
LISTENER = _names("sk_fullsock tcp_sock get_listener_sock")
SYN_COOKIES = _names("""
    tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6
    tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6
""")
ROUTES = _names("fib_lookup check_mtu")

# bpf_sk_base_func_proto, and what nearly all of its callers add.
SOCKET_BASE = BASE | SOCKET_CASTS | _names("ktime_get_coarse_ns")
NETWORK = SOCKET_BASE | _names("perf_event_output")

SKB_FILTER = NETWORK | _names("""
    skb_load_bytes skb_load_bytes_relative get_socket_cookie get_socket_uid get_netns_cookie
""")
SKB_TUNNELS = _names("""
    skb_get_tunnel_key skb_set_tunnel_key skb_get_tunnel_opt skb_set_tunnel_opt
""")
SKB_CHECKSUMS = _names("csum_diff csum_update csum_level l3_csum_replace l4_csum_replace")
SKB_SIZE = _names("skb_change_tail skb_change_head skb_pull_data")
SKB_HASH = _names("get_hash_recalc set_hash_invalid")
SKB_CGROUP_IDS = _names("skb_cgroup_id skb_ancestor_cgroup_id")
# lwt_out_func_proto, which the other three lightweight tunnel types extend.
LWT = NETWORK | _names("""
    skb_load_bytes skb_pull_data csum_diff get_hash_recalc get_route_realm skb_under_cgroup
""")

SCHED = (
    SKB_FILTER | SKB_TUNNELS | SKB_CHECKSUMS | SKB_SIZE | SKB_HASH | SKB_CGROUP_IDS
    | SOCKET_LOOKUP | LISTENER | SOCKET_STORAGE | SYN_COOKIES | ROUTES
    | _names("""
        skb_store_bytes skb_vlan_push skb_vlan_pop skb_change_proto skb_change_type
        skb_adjust_room skb_under_cgroup skb_cgroup_classid skb_get_xfrm_state skb_set_tstamp
        skb_ecn_set_ce set_hash get_route_realm
        clone_redirect redirect redirect_neigh redirect_peer sk_assign
    """)
)  # fmt: skip

# ---- Control groups: kernel/bpf/cgroup.c and net/core/filter.c.

CGROUP = BASE | _names("perf_event_output get_local_storage")
RETURN_VALUE = _names("get_retval set_retval")
CGROUP_SOCKET = _names("get_socket_cookie get_netns_cookie get_local_storage")

BY_PROGRAM_TYPE: Mapping[str, Names] = {
    "socket_filter": SKB_FILTER,
    "kprobe": TRACING | SLEEPABLE | _names("override_return"),
    "sched_cls": SCHED,
    "sched_act": SCHED,
    "tracepoint": TRACING,
    "xdp": NETWORK | SOCKET_LOOKUP | SYN_COOKIES | ROUTES | _names("""
        xdp_adjust_head xdp_adjust_tail xdp_adjust_meta xdp_get_buff_len xdp_load_bytes
        xdp_store_bytes redirect redirect_map csum_diff
    """),
    "perf_event": TRACING | _names("perf_prog_read_value read_branch_records"),
    "cgroup_skb": SKB_FILTER | SKB_CGROUP_IDS | SOCKET_LOOKUP | LISTENER | SOCKET_STORAGE
        | _names("get_local_storage sk_cgroup_id sk_ancestor_cgroup_id skb_ecn_set_ce"),
    "cgroup_sock": CGROUP | CGROUP_SOCKET | RETURN_VALUE
        | _names("ktime_get_coarse_ns sk_storage_get"),
    "lwt_in": LWT | _names("lwt_push_encap"),
    "lwt_out": LWT,
    "lwt_xmit": LWT | SKB_TUNNELS | SKB_CHECKSUMS | SKB_SIZE | SKB_HASH
        | _names("lwt_push_encap skb_store_bytes clone_redirect redirect"),
    "sock_ops": NETWORK | CGROUP_SOCKET | SOCKET_OPTIONS | SOCKET_STORAGE | _names("""
        sock_map_update sock_hash_update sock_ops_cb_flags_set tcp_sock
        load_hdr_opt store_hdr_opt reserve_hdr_opt
    """),
    "sk_skb": NETWORK | SOCKET_LOOKUP | SKB_SIZE | _names("""
        skb_load_bytes skb_store_bytes skb_adjust_room get_socket_cookie get_socket_uid
        sk_redirect_map sk_redirect_hash
    """),
    "cgroup_device": CGROUP | RETURN_VALUE,
    "sk_msg": NETWORK | SOCKET_STORAGE | _names("""
        msg_redirect_map msg_redirect_hash msg_apply_bytes msg_cork_bytes msg_pull_data
        msg_push_data msg_pop_data get_netns_cookie
    """),
    "raw_tracepoint": TRACING,
    "cgroup_sock_addr": NETWORK | CGROUP_SOCKET | RETURN_VALUE | SOCKET_OPTIONS | SOCKET_STORAGE
        | SOCKET_LOOKUP | _names("bind"),
    "lwt_seg6local": LWT | _names("lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action"),
    "lirc_mode2": _names("""
        rc_repeat rc_keydown rc_pointer_rel map_lookup_elem map_update_elem map_delete_elem
        map_push_elem map_pop_elem map_peek_elem ktime_get_ns ktime_get_boot_ns tail_call
        get_prandom_u32 trace_printk
    """),
    "sk_reuseport": BASE | _names("""
        sk_select_reuseport skb_load_bytes skb_load_bytes_relative get_socket_cookie
        ktime_get_coarse_ns
    """),
    "flow_dissector": SOCKET_BASE | _names("skb_load_bytes"),
    "cgroup_sysctl": CGROUP | RETURN_VALUE | _names("""
        sysctl_get_name sysctl_get_current_value sysctl_get_new_value sysctl_set_new_value
        ktime_get_coarse_ns
    """),
    "raw_tracepoint_writable": TRACING,
    "cgroup_sockopt": CGROUP | RETURN_VALUE | SOCKET_OPTIONS | SOCKET_STORAGE
        | _names("get_netns_cookie tcp_sock"),
    "tracing": TRACING | SLEEPABLE | BTF_TRACING | TRACED_FUNCTION | ITERATOR_OUTPUT
        | SOCKET_OPTIONS | SOCKET_STORAGE,
    "struct_ops": BASE | SLEEPABLE | SOCKET_OPTIONS | SOCKET_STORAGE
        | _names("tcp_send_ack ktime_get_coarse_ns"),
    "ext": _names(""),
    "lsm": TRACING | SLEEPABLE | BTF_TRACING | TRACED_FUNCTION | RETURN_VALUE | SOCKET_OPTIONS
        | SOCKET_STORAGE | _names("""
        inode_storage_get inode_storage_delete bprm_opts_set ima_inode_hash ima_file_hash
        get_local_storage
    """),
    "sk_lookup": NETWORK | _names("sk_assign sk_release"),
    "syscall": BASE | SLEEPABLE | BTF_TRACING | _names("""
        probe_read probe_read_str probe_write_user perf_event_output get_stackid get_stack
        get_func_ip sys_bpf sys_close btf_find_by_name_kind kallsyms_lookup_name
    """),
    "netfilter": BASE,
}  # fmt: skip

# An extension has the helpers of the program it replaces a function of; each subsystem,
# modules too, decides for its own struct_ops (those named above are TCP's, which has most).
OPEN_TYPES = _names("ext struct_ops")

# Refused by 6.18, allowed by a later kernel: known up to 7.3.
LATER: Mapping[str, Names] = {
    "cgroup_sock": SOCKET_OPTIONS,
    "tracepoint": SLEEPABLE,
    "raw_tracepoint": SLEEPABLE,
}
