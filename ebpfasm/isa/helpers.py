"""The kernel's helper functions, a row each, in the order of their ids.

The set is closed: since Linux 6.2 the kernel adds kfuncs instead. Prototypes are those of the
comments in `include/uapi/linux/bpf.h`; where that describes one helper several times over, for
several contexts, the row has `void *`. Which program type may call which helper stands in
`availability.py`.
"""

from __future__ import annotations

from ebpfasm.frozen import dataclass
from ebpfasm.isa.availability import BY_PROGRAM_TYPE, LATER, OPEN_TYPES


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: its C type, and its name in the kernel's header.

    The last parameter of a variadic helper has the type `...` and no name.
    """

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class HelperSpec:
    """One row: a helper function.

    `id` is the immediate of the call; `returns` a C type and `parameters` the C text between
    the parentheses; `since` the first Linux version that has the helper.
    `gpl_only` says that the kernel refuses it to programs without a GPL-compatible licence
    (two are stricter than they must be: perf_event programs may call bpf_get_stackid, and
    multi-kprobes bpf_get_func_ip, under any licence).
    """

    id: int
    name: str
    returns: str
    parameters: str
    since: str
    gpl_only: bool
    doc: str

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters one by one: r1, r2 and so on."""
        # Split when asked for: a thousand objects would be felt at every import.
        return () if self.parameters == "void" else tuple(map(_param, self.parameters.split(", ")))

    @property
    def variadic(self) -> bool:
        """Whether further arguments may follow, as many as registers are left (up to r5)."""
        return self.parameters.endswith("...")


def find(name_or_id: str | int) -> HelperSpec | None:
    """Look a helper up by id or by name, with or without `bpf_`; None if there is none."""
    if isinstance(name_or_id, int):
        return BY_ID.get(name_or_id)
    return BY_NAME.get(name_or_id) or BY_NAME.get(f"bpf_{name_or_id}")


def allowed(helper: HelperSpec | int | str, program_type: str) -> bool | None:
    """Say whether Linux 6.18 lets programs of a type (libbpf's name, `xdp`) call a helper.

    True if it does for some attach type of the program type. None where no table can know:
    an unknown helper or program type, a type that lends its helpers from the program or
    subsystem it is attached to (ext, struct_ops), or a call that later kernels allow.
    Configuration (a kernel without BPF LSM, a locked-down one) can take helpers away.
    """
    spec = helper if isinstance(helper, HelperSpec) else find(helper)
    callable_names = BY_PROGRAM_TYPE.get(program_type)
    if spec is None or callable_names is None:
        return None
    short = spec.name.removeprefix("bpf_")
    if short in callable_names:
        return True
    if program_type in OPEN_TYPES:
        return None
    return None if short in LATER.get(program_type, ()) else False


def prototype(helper: HelperSpec) -> str:
    """Write a helper's C prototype as the kernel's header does, without a semicolon."""
    gap = "" if helper.returns.endswith("*") else " "
    return f"{helper.returns}{gap}{helper.name}({helper.parameters})"


def _param(text: str) -> Param:
    if text == "...":
        return Param(text, "")
    head, star, name = text.rpartition("*")
    if star:
        return Param(head + star, name)
    c_type, _, name = text.rpartition(" ")
    return Param(c_type, name)


# fmt: off
HELPERS: tuple[HelperSpec, ...] = (
    #          id, name, returns, parameters, since, gpl_only, what it does
    HelperSpec(1, "bpf_map_lookup_elem", "void *", "struct bpf_map *map, const void *key", "3.19", False, "the address of a key's value in a map, or NULL"),
    HelperSpec(2, "bpf_map_update_elem", "long", "struct bpf_map *map, const void *key, const void *value, u64 flags", "3.19", False, "set a key's value: any, only new (BPF_NOEXIST) or only present (BPF_EXIST)"),
    HelperSpec(3, "bpf_map_delete_elem", "long", "struct bpf_map *map, const void *key", "3.19", False, "remove a key from a map"),
    HelperSpec(4, "bpf_probe_read", "long", "void *dst, u32 size, const void *unsafe_ptr", "4.1", True, "read memory at an unsafe address, kernel or user; newer code names which"),
    HelperSpec(5, "bpf_ktime_get_ns", "u64", "void", "4.1", False, "nanoseconds since boot, not counting suspend (CLOCK_MONOTONIC)"),
    HelperSpec(6, "bpf_trace_printk", "long", "const char *fmt, u32 fmt_size, ...", "4.1", True, "print up to three values to trace_pipe; for debugging"),
    HelperSpec(7, "bpf_get_prandom_u32", "u32", "void", "4.1", False, "a pseudo-random number, of a generator of its own"),
    HelperSpec(8, "bpf_get_smp_processor_id", "u32", "void", "4.1", False, "the number of the processor that runs the program"),
    HelperSpec(9, "bpf_skb_store_bytes", "long", "struct sk_buff *skb, u32 offset, const void *from, u32 len, u64 flags", "4.1", False, "write bytes into a packet, with or without fixing its checksum"),
    HelperSpec(10, "bpf_l3_csum_replace", "long", "struct sk_buff *skb, u32 offset, u64 from, u64 to, u64 size", "4.1", False, "fix the IP header checksum after a field changed"),
    HelperSpec(11, "bpf_l4_csum_replace", "long", "struct sk_buff *skb, u32 offset, u64 from, u64 to, u64 flags", "4.1", False, "fix the TCP, UDP or ICMP checksum after a field changed"),
    HelperSpec(12, "bpf_tail_call", "long", "void *ctx, struct bpf_map *prog_array_map, u32 index", "4.2", False, "continue in another program of a prog array; returns only if it cannot"),
    HelperSpec(13, "bpf_clone_redirect", "long", "struct sk_buff *skb, u32 ifindex, u64 flags", "4.2", False, "send a copy of the packet out of, or into, another interface"),
    HelperSpec(14, "bpf_get_current_pid_tgid", "u64", "void", "4.2", False, "process id in the upper half, thread id in the lower"),
    HelperSpec(15, "bpf_get_current_uid_gid", "u64", "void", "4.2", False, "group id in the upper half, user id in the lower"),
    HelperSpec(16, "bpf_get_current_comm", "long", "void *buf, u32 size_of_buf", "4.2", False, "copy the name of the current task into a buffer"),
    HelperSpec(17, "bpf_get_cgroup_classid", "u32", "struct sk_buff *skb", "4.3", False, "the net_cls class of the cgroup that the packet's task is in"),
    HelperSpec(18, "bpf_skb_vlan_push", "long", "struct sk_buff *skb, __be16 vlan_proto, u16 vlan_tci", "4.3", False, "put a VLAN tag onto a packet"),
    HelperSpec(19, "bpf_skb_vlan_pop", "long", "struct sk_buff *skb", "4.3", False, "take the VLAN tag off a packet"),
    HelperSpec(20, "bpf_skb_get_tunnel_key", "long", "struct sk_buff *skb, struct bpf_tunnel_key *key, u32 size, u64 flags", "4.3", False, "read the outer addresses and id of the tunnel a packet came through"),
    HelperSpec(21, "bpf_skb_set_tunnel_key", "long", "struct sk_buff *skb, struct bpf_tunnel_key *key, u32 size, u64 flags", "4.3", False, "set the outer addresses and id for the tunnel a packet will leave by"),
    HelperSpec(22, "bpf_perf_event_read", "u64", "struct bpf_map *map, u64 flags", "4.3", True, "read a hardware counter of a perf event array; errors look like counts"),
    HelperSpec(23, "bpf_redirect", "long", "u32 ifindex, u64 flags", "4.4", False, "have the packet sent to another interface when the program returns"),
    HelperSpec(24, "bpf_get_route_realm", "u32", "struct sk_buff *skb", "4.4", False, "the realm of the route that the packet took"),
    HelperSpec(25, "bpf_perf_event_output", "long", "void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size", "4.4", True, "write a record to a perf event array's buffer, with packet bytes if asked"),
    HelperSpec(26, "bpf_skb_load_bytes", "long", "const void *skb, u32 offset, void *to, u32 len", "4.5", False, "copy bytes from a packet, also out of its paged part"),
    HelperSpec(27, "bpf_get_stackid", "long", "void *ctx, struct bpf_map *map, u64 flags", "4.6", True, "walk the stack and return the id of its trace in a stack trace map"),
    HelperSpec(28, "bpf_csum_diff", "s64", "__be32 *from, u32 from_size, __be32 *to, u32 to_size, __wsum seed", "4.6", False, "the checksum difference between two buffers, onto a seed"),
    HelperSpec(29, "bpf_skb_get_tunnel_opt", "long", "struct sk_buff *skb, void *opt, u32 size", "4.6", False, "read the tunnel's options of a packet"),
    HelperSpec(30, "bpf_skb_set_tunnel_opt", "long", "struct sk_buff *skb, void *opt, u32 size", "4.6", False, "set the tunnel's options of a packet"),
    HelperSpec(31, "bpf_skb_change_proto", "long", "struct sk_buff *skb, __be16 proto, u64 flags", "4.8", False, "turn an IPv4 packet into an IPv6 one or back, headers still to be filled"),
    HelperSpec(32, "bpf_skb_change_type", "long", "struct sk_buff *skb, u32 type", "4.8", False, "say for whom a packet is: this host, another, all, a group"),
    HelperSpec(33, "bpf_skb_under_cgroup", "long", "struct sk_buff *skb, struct bpf_map *map, u32 index", "4.8", False, "whether the packet's socket is below a cgroup of a cgroup array"),
    HelperSpec(34, "bpf_get_hash_recalc", "u32", "struct sk_buff *skb", "4.8", False, "the packet's flow hash, computed if it is not there"),
    HelperSpec(35, "bpf_get_current_task", "u64", "void", "4.8", True, "the address of the current task_struct, as a number"),
    HelperSpec(36, "bpf_probe_write_user", "long", "void *dst, const void *src, u32 len", "4.8", True, "try to write to the current task's user memory; warns in the kernel log"),
    HelperSpec(37, "bpf_current_task_under_cgroup", "long", "struct bpf_map *map, u32 index", "4.9", False, "whether the current task is below a cgroup of a cgroup array"),
    HelperSpec(38, "bpf_skb_change_tail", "long", "struct sk_buff *skb, u32 len, u64 flags", "4.9", False, "cut or extend a packet at its end"),
    HelperSpec(39, "bpf_skb_pull_data", "long", "struct sk_buff *skb, u32 len", "4.9", False, "make the first bytes of a packet directly readable and writable"),
    HelperSpec(40, "bpf_csum_update", "s64", "struct sk_buff *skb, __wsum csum", "4.9", False, "add to the checksum of a packet whose checksum is complete"),
    HelperSpec(41, "bpf_set_hash_invalid", "void", "struct sk_buff *skb", "4.9", False, "forget the packet's flow hash so that it is computed anew"),
    HelperSpec(42, "bpf_get_numa_node_id", "long", "void", "4.10", False, "the NUMA node of the processor that runs the program"),
    HelperSpec(43, "bpf_skb_change_head", "long", "struct sk_buff *skb, u32 len, u64 flags", "4.10", False, "make room in front of a packet, for a lower header"),
    HelperSpec(44, "bpf_xdp_adjust_head", "long", "struct xdp_buff *xdp_md, int delta", "4.10", False, "move the start of the packet, to drop or add headers"),
    HelperSpec(45, "bpf_probe_read_str", "long", "void *dst, u32 size, const void *unsafe_ptr", "4.11", True, "read a NUL-terminated string at an unsafe address; newer code names which"),
    HelperSpec(46, "bpf_get_socket_cookie", "u64", "void *ctx", "4.12", False, "a number that names a socket as long as it lives"),
    HelperSpec(47, "bpf_get_socket_uid", "u32", "struct sk_buff *skb", "4.12", False, "the user id that owns the packet's socket"),
    HelperSpec(48, "bpf_set_hash", "long", "struct sk_buff *skb, u32 hash", "4.13", False, "set the packet's flow hash"),
    HelperSpec(49, "bpf_setsockopt", "long", "void *bpf_socket, int level, int optname, void *optval, int optlen", "4.13", False, "set a socket option, as setsockopt(2)"),
    HelperSpec(50, "bpf_skb_adjust_room", "long", "struct sk_buff *skb, s32 len_diff, u32 mode, u64 flags", "4.13", False, "make or take room for headers behind the link or network header"),
    HelperSpec(51, "bpf_redirect_map", "long", "struct bpf_map *map, u64 key, u64 flags", "4.14", False, "have the packet sent to an entry of a devmap, cpumap or xskmap"),
    HelperSpec(52, "bpf_sk_redirect_map", "long", "struct sk_buff *skb, struct bpf_map *map, u32 key, u64 flags", "4.14", False, "have the packet sent to a socket of a sockmap"),
    HelperSpec(53, "bpf_sock_map_update", "long", "struct bpf_sock_ops *skops, struct bpf_map *map, void *key, u64 flags", "4.14", False, "put the socket of this event into a sockmap"),
    HelperSpec(54, "bpf_xdp_adjust_meta", "long", "struct xdp_buff *xdp_md, int delta", "4.15", False, "move the start of the metadata in front of the packet"),
    HelperSpec(55, "bpf_perf_event_read_value", "long", "struct bpf_map *map, u64 flags, struct bpf_perf_event_value *buf, u32 buf_size", "4.15", True, "read a counter of a perf event array with its times"),
    HelperSpec(56, "bpf_perf_prog_read_value", "long", "struct bpf_perf_event_data *ctx, struct bpf_perf_event_value *buf, u32 buf_size", "4.15", True, "read the counter that this program is attached to, with its times"),
    HelperSpec(57, "bpf_getsockopt", "long", "void *bpf_socket, int level, int optname, void *optval, int optlen", "4.15", False, "read a socket option, as getsockopt(2)"),
    HelperSpec(58, "bpf_override_return", "long", "struct pt_regs *regs, u64 rc", "4.16", True, "make the probed function return at once, with this value"),
    HelperSpec(59, "bpf_sock_ops_cb_flags_set", "long", "struct bpf_sock_ops *bpf_sock, int argval", "4.16", False, "choose which further events of this socket the program is called for"),
    HelperSpec(60, "bpf_msg_redirect_map", "long", "struct sk_msg_buff *msg, struct bpf_map *map, u32 key, u64 flags", "4.17", False, "have the message sent to a socket of a sockmap"),
    HelperSpec(61, "bpf_msg_apply_bytes", "long", "struct sk_msg_buff *msg, u32 bytes", "4.17", False, "let the verdict hold for the next so many bytes"),
    HelperSpec(62, "bpf_msg_cork_bytes", "long", "struct sk_msg_buff *msg, u32 bytes", "4.17", False, "wait for so many bytes before the next verdict"),
    HelperSpec(63, "bpf_msg_pull_data", "long", "struct sk_msg_buff *msg, u32 start, u32 end, u64 flags", "4.17", False, "make a range of the message directly readable and writable"),
    HelperSpec(64, "bpf_bind", "long", "struct bpf_sock_addr *ctx, struct sockaddr *addr, int addr_len", "4.17", False, "bind the socket to an address before it connects"),
    HelperSpec(65, "bpf_xdp_adjust_tail", "long", "struct xdp_buff *xdp_md, int delta", "4.18", False, "move the end of the packet, to cut or extend it"),
    HelperSpec(66, "bpf_skb_get_xfrm_state", "long", "struct sk_buff *skb, u32 index, struct bpf_xfrm_state *xfrm_state, u32 size, u64 flags", "4.18", False, "read an entry of the IPsec path that the packet came through"),
    HelperSpec(67, "bpf_get_stack", "long", "void *ctx, void *buf, u32 size, u64 flags", "4.18", True, "walk the stack and copy its addresses into a buffer"),
    HelperSpec(68, "bpf_skb_load_bytes_relative", "long", "const void *skb, u32 offset, void *to, u32 len, u32 start_header", "4.18", False, "copy bytes from a packet, counted from its link or network header"),
    HelperSpec(69, "bpf_fib_lookup", "long", "void *ctx, struct bpf_fib_lookup *params, int plen, u32 flags", "4.18", True, "look a destination up in the routing tables: next hop, addresses, interface"),
    HelperSpec(70, "bpf_sock_hash_update", "long", "struct bpf_sock_ops *skops, struct bpf_map *map, void *key, u64 flags", "4.18", False, "put the socket of this event into a sockhash"),
    HelperSpec(71, "bpf_msg_redirect_hash", "long", "struct sk_msg_buff *msg, struct bpf_map *map, void *key, u64 flags", "4.18", False, "have the message sent to a socket of a sockhash"),
    HelperSpec(72, "bpf_sk_redirect_hash", "long", "struct sk_buff *skb, struct bpf_map *map, void *key, u64 flags", "4.18", False, "have the packet sent to a socket of a sockhash"),
    HelperSpec(73, "bpf_lwt_push_encap", "long", "struct sk_buff *skb, u32 type, void *hdr, u32 len", "4.18", False, "put an outer IP or segment routing header around a packet"),
    HelperSpec(74, "bpf_lwt_seg6_store_bytes", "long", "struct sk_buff *skb, u32 offset, const void *from, u32 len", "4.18", False, "write into the parts of a segment routing header that may change"),
    HelperSpec(75, "bpf_lwt_seg6_adjust_srh", "long", "struct sk_buff *skb, u32 offset, s32 delta", "4.18", False, "grow or shrink the options of a segment routing header"),
    HelperSpec(76, "bpf_lwt_seg6_action", "long", "struct sk_buff *skb, u32 action, void *param, u32 param_len", "4.18", False, "do a segment routing action on the packet: cross-connect, encapsulate, decapsulate"),
    HelperSpec(77, "bpf_rc_repeat", "long", "void *ctx", "4.18", True, "report a repeat of the last key of a remote control"),
    HelperSpec(78, "bpf_rc_keydown", "long", "void *ctx, u32 protocol, u64 scancode, u32 toggle", "4.18", True, "report a key of a remote control as pressed, with its protocol and code"),
    HelperSpec(79, "bpf_skb_cgroup_id", "u64", "struct sk_buff *skb", "4.18", False, "the id of the cgroup of the packet's socket"),
    HelperSpec(80, "bpf_get_current_cgroup_id", "u64", "void", "4.18", False, "the id of the cgroup of the current task"),
    HelperSpec(81, "bpf_get_local_storage", "void *", "void *map, u64 flags", "4.19", False, "the address of the cgroup storage of this program and attachment"),
    HelperSpec(82, "bpf_sk_select_reuseport", "long", "struct sk_reuseport_md *reuse, struct bpf_map *map, void *key, u64 flags", "4.19", False, "choose the socket of a reuseport group for this packet"),
    HelperSpec(83, "bpf_skb_ancestor_cgroup_id", "u64", "struct sk_buff *skb, int ancestor_level", "4.19", False, "the id of an ancestor, at a given depth, of the packet's cgroup"),
    HelperSpec(84, "bpf_sk_lookup_tcp", "struct bpf_sock *", "void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns, u64 flags", "4.20", False, "find a TCP socket by its addresses and ports; must be released"),
    HelperSpec(85, "bpf_sk_lookup_udp", "struct bpf_sock *", "void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns, u64 flags", "4.20", False, "find a UDP socket by its addresses and ports; must be released"),
    HelperSpec(86, "bpf_sk_release", "long", "void *sock", "4.20", False, "give back a socket that a lookup returned"),
    HelperSpec(87, "bpf_map_push_elem", "long", "struct bpf_map *map, const void *value, u64 flags", "4.20", False, "put a value into a queue, stack or bloom filter map"),
    HelperSpec(88, "bpf_map_pop_elem", "long", "struct bpf_map *map, void *value", "4.20", False, "take a value out of a queue or stack map"),
    HelperSpec(89, "bpf_map_peek_elem", "long", "struct bpf_map *map, void *value", "4.20", False, "read a value of a queue, stack or bloom filter map and leave it there"),
    HelperSpec(90, "bpf_msg_push_data", "long", "struct sk_msg_buff *msg, u32 start, u32 len, u64 flags", "4.20", False, "make room within a message"),
    HelperSpec(91, "bpf_msg_pop_data", "long", "struct sk_msg_buff *msg, u32 start, u32 len, u64 flags", "5.0", False, "take bytes out of a message"),
    HelperSpec(92, "bpf_rc_pointer_rel", "long", "void *ctx, s32 rel_x, s32 rel_y", "5.0", True, "report a movement of a pointer on a remote control"),
    HelperSpec(93, "bpf_spin_lock", "long", "struct bpf_spin_lock *lock", "5.1", False, "take the spin lock in a map value"),
    HelperSpec(94, "bpf_spin_unlock", "long", "struct bpf_spin_lock *lock", "5.1", False, "release the spin lock in a map value"),
    HelperSpec(95, "bpf_sk_fullsock", "struct bpf_sock *", "struct bpf_sock *sk", "5.1", False, "the full socket behind a socket, or NULL"),
    HelperSpec(96, "bpf_tcp_sock", "struct bpf_tcp_sock *", "struct bpf_sock *sk", "5.1", False, "the TCP part of a socket, or NULL"),
    HelperSpec(97, "bpf_skb_ecn_set_ce", "long", "struct sk_buff *skb", "5.1", False, "mark congestion in the IP header of a packet that allows it"),
    HelperSpec(98, "bpf_get_listener_sock", "struct bpf_sock *", "struct bpf_sock *sk", "5.1", False, "the listening socket of a socket that it is about to accept"),
    HelperSpec(99, "bpf_skc_lookup_tcp", "struct bpf_sock *", "void *ctx, struct bpf_sock_tuple *tuple, u32 tuple_size, u64 netns, u64 flags", "5.2", False, "find a TCP socket, also one in request or timewait state; must be released"),
    HelperSpec(100, "bpf_tcp_check_syncookie", "long", "void *sk, void *iph, u32 iph_len, struct tcphdr *th, u32 th_len", "5.2", True, "whether an ACK carries a valid SYN cookie for a listening socket"),
    HelperSpec(101, "bpf_sysctl_get_name", "long", "struct bpf_sysctl *ctx, char *buf, size_t buf_len, u64 flags", "5.2", False, "copy the name of the sysctl that is accessed"),
    HelperSpec(102, "bpf_sysctl_get_current_value", "long", "struct bpf_sysctl *ctx, char *buf, size_t buf_len", "5.2", False, "copy the value that the sysctl has"),
    HelperSpec(103, "bpf_sysctl_get_new_value", "long", "struct bpf_sysctl *ctx, char *buf, size_t buf_len", "5.2", False, "copy the value that is about to be written to the sysctl"),
    HelperSpec(104, "bpf_sysctl_set_new_value", "long", "struct bpf_sysctl *ctx, const char *buf, size_t buf_len", "5.2", False, "replace the value that is about to be written to the sysctl"),
    HelperSpec(105, "bpf_strtol", "long", "const char *buf, size_t buf_len, u64 flags, long *res", "5.2", False, "read a signed number from text; returns how many characters it used"),
    HelperSpec(106, "bpf_strtoul", "long", "const char *buf, size_t buf_len, u64 flags, unsigned long *res", "5.2", False, "read an unsigned number from text; returns how many characters it used"),
    HelperSpec(107, "bpf_sk_storage_get", "void *", "struct bpf_map *map, void *sk, void *value, u64 flags", "5.2", False, "the address of a socket's storage of a map, created if asked"),
    HelperSpec(108, "bpf_sk_storage_delete", "long", "struct bpf_map *map, void *sk", "5.2", False, "remove a socket's storage of a map"),
    HelperSpec(109, "bpf_send_signal", "long", "u32 sig", "5.3", False, "send a signal to the current process"),
    HelperSpec(110, "bpf_tcp_gen_syncookie", "s64", "void *sk, void *iph, u32 iph_len, struct tcphdr *th, u32 th_len", "5.4", True, "make a SYN cookie for a listening socket and a SYN"),
    HelperSpec(111, "bpf_skb_output", "long", "void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size", "5.5", True, "write a record with bytes of a struct sk_buff to a perf event array's buffer"),
    HelperSpec(112, "bpf_probe_read_user", "long", "void *dst, u32 size, const void *unsafe_ptr", "5.5", True, "read user memory at an unsafe address"),
    HelperSpec(113, "bpf_probe_read_kernel", "long", "void *dst, u32 size, const void *unsafe_ptr", "5.5", True, "read kernel memory at an unsafe address"),
    HelperSpec(114, "bpf_probe_read_user_str", "long", "void *dst, u32 size, const void *unsafe_ptr", "5.5", True, "read a NUL-terminated string of user memory at an unsafe address"),
    HelperSpec(115, "bpf_probe_read_kernel_str", "long", "void *dst, u32 size, const void *unsafe_ptr", "5.5", True, "read a NUL-terminated string of kernel memory at an unsafe address"),
    HelperSpec(116, "bpf_tcp_send_ack", "long", "void *tp, u32 rcv_nxt", "5.6", False, "send an ACK from a congestion control algorithm"),
    HelperSpec(117, "bpf_send_signal_thread", "long", "u32 sig", "5.6", False, "send a signal to the current thread"),
    HelperSpec(118, "bpf_jiffies64", "u64", "void", "5.6", False, "the kernel's tick count"),
    HelperSpec(119, "bpf_read_branch_records", "long", "struct bpf_perf_event_data *ctx, void *buf, u32 size, u64 flags", "5.7", True, "copy the branches that the hardware recorded for this perf event"),
    HelperSpec(120, "bpf_get_ns_current_pid_tgid", "long", "u64 dev, u64 ino, struct bpf_pidns_info *nsdata, u32 size", "5.7", False, "process and thread id as seen in a pid namespace"),
    HelperSpec(121, "bpf_xdp_output", "long", "void *ctx, struct bpf_map *map, u64 flags, void *data, u64 size", "5.7", True, "write a record with bytes of a struct xdp_buff to a perf event array's buffer"),
    HelperSpec(122, "bpf_get_netns_cookie", "u64", "void *ctx", "5.7", False, "a number that names the network namespace of a context's socket"),
    HelperSpec(123, "bpf_get_current_ancestor_cgroup_id", "u64", "int ancestor_level", "5.7", False, "the id of an ancestor, at a given depth, of the current task's cgroup"),
    HelperSpec(124, "bpf_sk_assign", "long", "void *ctx, void *sk, u64 flags", "5.7", False, "choose the socket that shall receive the packet"),
    HelperSpec(125, "bpf_ktime_get_boot_ns", "u64", "void", "5.8", False, "nanoseconds since boot, counting suspend (CLOCK_BOOTTIME)"),
    HelperSpec(126, "bpf_seq_printf", "long", "struct seq_file *m, const char *fmt, u32 fmt_size, const void *data, u32 data_len", "5.8", True, "print formatted text to an iterator's output"),
    HelperSpec(127, "bpf_seq_write", "long", "struct seq_file *m, const void *data, u32 len", "5.8", True, "write bytes to an iterator's output"),
    HelperSpec(128, "bpf_sk_cgroup_id", "u64", "void *sk", "5.8", False, "the id of the cgroup of a socket"),
    HelperSpec(129, "bpf_sk_ancestor_cgroup_id", "u64", "void *sk, int ancestor_level", "5.8", False, "the id of an ancestor, at a given depth, of a socket's cgroup"),
    HelperSpec(130, "bpf_ringbuf_output", "long", "void *ringbuf, void *data, u64 size, u64 flags", "5.8", False, "copy a record into a ring buffer"),
    HelperSpec(131, "bpf_ringbuf_reserve", "void *", "void *ringbuf, u64 size, u64 flags", "5.8", False, "the address of a new record in a ring buffer, or NULL; must be submitted or discarded"),
    HelperSpec(132, "bpf_ringbuf_submit", "void", "void *data, u64 flags", "5.8", False, "publish a reserved record"),
    HelperSpec(133, "bpf_ringbuf_discard", "void", "void *data, u64 flags", "5.8", False, "drop a reserved record"),
    HelperSpec(134, "bpf_ringbuf_query", "u64", "void *ringbuf, u64 flags", "5.8", False, "a ring buffer's size, its unread bytes or its positions"),
    HelperSpec(135, "bpf_csum_level", "long", "struct sk_buff *skb, u64 level", "5.8", False, "read or change how deep the packet's checksum has been checked"),
    HelperSpec(136, "bpf_skc_to_tcp6_sock", "struct tcp6_sock *", "void *sk", "5.9", False, "the socket as a tcp6_sock, or NULL"),
    HelperSpec(137, "bpf_skc_to_tcp_sock", "struct tcp_sock *", "void *sk", "5.9", False, "the socket as a tcp_sock, or NULL"),
    HelperSpec(138, "bpf_skc_to_tcp_timewait_sock", "struct tcp_timewait_sock *", "void *sk", "5.9", False, "the socket as a tcp_timewait_sock, or NULL"),
    HelperSpec(139, "bpf_skc_to_tcp_request_sock", "struct tcp_request_sock *", "void *sk", "5.9", False, "the socket as a tcp_request_sock, or NULL"),
    HelperSpec(140, "bpf_skc_to_udp6_sock", "struct udp6_sock *", "void *sk", "5.9", False, "the socket as a udp6_sock, or NULL"),
    HelperSpec(141, "bpf_get_task_stack", "long", "struct task_struct *task, void *buf, u32 size, u64 flags", "5.9", False, "walk a task's stack and copy its addresses into a buffer"),
    HelperSpec(142, "bpf_load_hdr_opt", "long", "struct bpf_sock_ops *skops, void *searchby_res, u32 len, u64 flags", "5.10", False, "read a TCP header option of the packet at hand"),
    HelperSpec(143, "bpf_store_hdr_opt", "long", "struct bpf_sock_ops *skops, const void *from, u32 len, u64 flags", "5.10", False, "write a TCP header option into the packet being built"),
    HelperSpec(144, "bpf_reserve_hdr_opt", "long", "struct bpf_sock_ops *skops, u32 len, u64 flags", "5.10", False, "reserve room for a TCP header option in the packet to be built"),
    HelperSpec(145, "bpf_inode_storage_get", "void *", "struct bpf_map *map, void *inode, void *value, u64 flags", "5.10", False, "the address of an inode's storage of a map, created if asked"),
    HelperSpec(146, "bpf_inode_storage_delete", "int", "struct bpf_map *map, void *inode", "5.10", False, "remove an inode's storage of a map"),
    HelperSpec(147, "bpf_d_path", "long", "const struct path *path, char *buf, u32 sz", "5.10", False, "the full name of a path, as text"),
    HelperSpec(148, "bpf_copy_from_user", "long", "void *dst, u32 size, const void *user_ptr", "5.10", False, "read user memory, waiting for its pages; sleepable programs only"),
    HelperSpec(149, "bpf_snprintf_btf", "long", "char *str, u32 str_size, struct btf_ptr *ptr, u32 btf_ptr_size, u64 flags", "5.10", False, "print a kernel value by its BTF type into a buffer"),
    HelperSpec(150, "bpf_seq_printf_btf", "long", "struct seq_file *m, struct btf_ptr *ptr, u32 ptr_size, u64 flags", "5.10", True, "print a kernel value by its BTF type to an iterator's output"),
    HelperSpec(151, "bpf_skb_cgroup_classid", "u64", "struct sk_buff *skb", "5.10", False, "the net_cls class of the packet's socket, looking at nothing else"),
    HelperSpec(152, "bpf_redirect_neigh", "long", "u32 ifindex, struct bpf_redir_neigh *params, int plen, u64 flags", "5.10", False, "have the packet sent to another interface, link addresses filled in by the neighbour table"),
    HelperSpec(153, "bpf_per_cpu_ptr", "void *", "const void *percpu_ptr, u32 cpu", "5.10", False, "the address of a per-CPU kernel variable on one processor, or NULL"),
    HelperSpec(154, "bpf_this_cpu_ptr", "void *", "const void *percpu_ptr", "5.10", False, "the address of a per-CPU kernel variable on this processor"),
    HelperSpec(155, "bpf_redirect_peer", "long", "u32 ifindex, u64 flags", "5.10", False, "have the packet appear at the peer of a veth or netkit interface"),
    HelperSpec(156, "bpf_task_storage_get", "void *", "struct bpf_map *map, struct task_struct *task, void *value, u64 flags", "5.11", False, "the address of a task's storage of a map, created if asked"),
    HelperSpec(157, "bpf_task_storage_delete", "long", "struct bpf_map *map, struct task_struct *task", "5.11", False, "remove a task's storage of a map"),
    HelperSpec(158, "bpf_get_current_task_btf", "struct task_struct *", "void", "5.11", True, "the current task_struct, as a typed pointer"),
    HelperSpec(159, "bpf_bprm_opts_set", "long", "struct linux_binprm *bprm, u64 flags", "5.11", False, "set options of the program that is being executed"),
    HelperSpec(160, "bpf_ktime_get_coarse_ns", "u64", "void", "5.11", False, "nanoseconds since boot at the last tick (CLOCK_MONOTONIC_COARSE)"),
    HelperSpec(161, "bpf_ima_inode_hash", "long", "struct inode *inode, void *dst, u32 size", "5.11", False, "copy the hash that IMA has stored for an inode"),
    HelperSpec(162, "bpf_sock_from_file", "struct socket *", "struct file *file", "5.11", False, "the socket behind a file, or NULL"),
    HelperSpec(163, "bpf_check_mtu", "long", "void *ctx, u32 ifindex, u32 *mtu_len, s32 len_diff, u64 flags", "5.12", True, "whether a packet, after a change of length, fits the MTU of an interface"),
    HelperSpec(164, "bpf_for_each_map_elem", "long", "struct bpf_map *map, void *callback_fn, void *callback_ctx, u64 flags", "5.13", False, "call a function for each element of a map"),
    HelperSpec(165, "bpf_snprintf", "long", "char *str, u32 str_size, const char *fmt, u64 *data, u32 data_len", "5.13", True, "print formatted text into a buffer"),
    HelperSpec(166, "bpf_sys_bpf", "long", "u32 cmd, void *attr, u32 attr_size", "5.14", False, "do a bpf(2) command in a syscall program"),
    HelperSpec(167, "bpf_btf_find_by_name_kind", "long", "char *name, int name_sz, u32 kind, int flags", "5.14", False, "the id of a kernel type by its name and kind, with its module's BTF"),
    HelperSpec(168, "bpf_sys_close", "long", "u32 fd", "5.14", False, "close a file descriptor in a syscall program"),
    HelperSpec(169, "bpf_timer_init", "long", "struct bpf_timer *timer, struct bpf_map *map, u64 flags", "5.15", True, "set up the timer in a map value"),
    HelperSpec(170, "bpf_timer_set_callback", "long", "struct bpf_timer *timer, void *callback_fn", "5.15", True, "say which function a timer calls"),
    HelperSpec(171, "bpf_timer_start", "long", "struct bpf_timer *timer, u64 nsecs, u64 flags", "5.15", True, "start a timer, or start it anew"),
    HelperSpec(172, "bpf_timer_cancel", "long", "struct bpf_timer *timer", "5.15", True, "stop a timer and wait for its function to end"),
    HelperSpec(173, "bpf_get_func_ip", "u64", "void *ctx", "5.15", True, "the address of the traced function"),
    HelperSpec(174, "bpf_get_attach_cookie", "u64", "void *ctx", "5.15", False, "the number that user space gave when it attached the program"),
    HelperSpec(175, "bpf_task_pt_regs", "long", "struct task_struct *task", "5.15", True, "the user registers of a task, as a typed pointer"),
    HelperSpec(176, "bpf_get_branch_snapshot", "long", "void *entries, u32 size, u64 flags", "5.16", True, "copy the branches that the hardware has just recorded"),
    HelperSpec(177, "bpf_trace_vprintk", "long", "const char *fmt, u32 fmt_size, const void *data, u32 data_len", "5.16", True, "print values of an array to trace_pipe; for debugging"),
    HelperSpec(178, "bpf_skc_to_unix_sock", "struct unix_sock *", "void *sk", "5.16", False, "the socket as a unix_sock, or NULL"),
    HelperSpec(179, "bpf_kallsyms_lookup_name", "long", "const char *name, int name_sz, int flags, u64 *res", "5.16", False, "the address of a kernel symbol, in a syscall program"),
    HelperSpec(180, "bpf_find_vma", "long", "struct task_struct *task, u64 addr, void *callback_fn, void *callback_ctx, u64 flags", "5.17", False, "call a function with the memory area of a task that holds an address"),
    HelperSpec(181, "bpf_loop", "long", "u32 nr_loops, void *callback_fn, void *callback_ctx, u64 flags", "5.17", False, "call a function so many times, or until it says stop"),
    HelperSpec(182, "bpf_strncmp", "long", "const char *s1, u32 s1_sz, const char *s2", "5.17", False, "compare a string with a constant one"),
    HelperSpec(183, "bpf_get_func_arg", "long", "void *ctx, u32 n, u64 *value", "5.17", False, "read an argument of the traced function by its number"),
    HelperSpec(184, "bpf_get_func_ret", "long", "void *ctx, u64 *value", "5.17", False, "read what the traced function returned"),
    HelperSpec(185, "bpf_get_func_arg_cnt", "long", "void *ctx", "5.17", False, "how many arguments the traced function has"),
    HelperSpec(186, "bpf_get_retval", "int", "void", "5.18", False, "the value that the system call is to return"),
    HelperSpec(187, "bpf_set_retval", "int", "int retval", "5.18", False, "set the value that the system call is to return"),
    HelperSpec(188, "bpf_xdp_get_buff_len", "u64", "struct xdp_buff *xdp_md", "5.18", False, "the length of the packet with all its fragments"),
    HelperSpec(189, "bpf_xdp_load_bytes", "long", "struct xdp_buff *xdp_md, u32 offset, void *buf, u32 len", "5.18", False, "copy bytes from a packet, also out of its fragments"),
    HelperSpec(190, "bpf_xdp_store_bytes", "long", "struct xdp_buff *xdp_md, u32 offset, void *buf, u32 len", "5.18", False, "write bytes into a packet, also into its fragments"),
    HelperSpec(191, "bpf_copy_from_user_task", "long", "void *dst, u32 size, const void *user_ptr, struct task_struct *tsk, u64 flags", "5.18", True, "read another task's user memory, waiting for its pages; sleepable programs only"),
    HelperSpec(192, "bpf_skb_set_tstamp", "long", "struct sk_buff *skb, u64 tstamp, u32 tstamp_type", "5.18", False, "set the packet's time stamp and say which clock it is of"),
    HelperSpec(193, "bpf_ima_file_hash", "long", "struct file *file, void *dst, u32 size", "5.18", False, "copy the hash of a file, computed by IMA if need be"),
    HelperSpec(194, "bpf_kptr_xchg", "void *", "void *dst, void *ptr", "5.19", False, "swap a kernel pointer in a map value for another, and return the old one"),
    HelperSpec(195, "bpf_map_lookup_percpu_elem", "void *", "struct bpf_map *map, const void *key, u32 cpu", "5.19", False, "the address of a key's value on one processor in a per-CPU map, or NULL"),
    HelperSpec(196, "bpf_skc_to_mptcp_sock", "struct mptcp_sock *", "void *sk", "5.19", False, "the socket as an mptcp_sock, or NULL"),
    HelperSpec(197, "bpf_dynptr_from_mem", "long", "void *data, u64 size, u64 flags, struct bpf_dynptr *ptr", "5.19", False, "make a dynptr to a map value's memory"),
    HelperSpec(198, "bpf_ringbuf_reserve_dynptr", "long", "void *ringbuf, u32 size, u64 flags, struct bpf_dynptr *ptr", "5.19", False, "make a dynptr to a new ring buffer record of any size; must be submitted or discarded"),
    HelperSpec(199, "bpf_ringbuf_submit_dynptr", "void", "struct bpf_dynptr *ptr, u64 flags", "5.19", False, "publish the record behind a dynptr"),
    HelperSpec(200, "bpf_ringbuf_discard_dynptr", "void", "struct bpf_dynptr *ptr, u64 flags", "5.19", False, "drop the record behind a dynptr"),
    HelperSpec(201, "bpf_dynptr_read", "long", "void *dst, u64 len, const struct bpf_dynptr *src, u64 offset, u64 flags", "5.19", False, "copy bytes out of a dynptr's memory"),
    HelperSpec(202, "bpf_dynptr_write", "long", "const struct bpf_dynptr *dst, u64 offset, void *src, u64 len, u64 flags", "5.19", False, "copy bytes into a dynptr's memory"),
    HelperSpec(203, "bpf_dynptr_data", "void *", "const struct bpf_dynptr *ptr, u64 offset, u64 len", "5.19", False, "the address of a slice of a dynptr's memory, or NULL"),
    HelperSpec(204, "bpf_tcp_raw_gen_syncookie_ipv4", "s64", "struct iphdr *iph, struct tcphdr *th, u32 th_len", "6.0", True, "make a SYN cookie from the headers alone, IPv4"),
    HelperSpec(205, "bpf_tcp_raw_gen_syncookie_ipv6", "s64", "struct ipv6hdr *iph, struct tcphdr *th, u32 th_len", "6.0", True, "make a SYN cookie from the headers alone, IPv6"),
    HelperSpec(206, "bpf_tcp_raw_check_syncookie_ipv4", "long", "struct iphdr *iph, struct tcphdr *th", "6.0", True, "check an ACK's SYN cookie from the headers alone, IPv4"),
    HelperSpec(207, "bpf_tcp_raw_check_syncookie_ipv6", "long", "struct ipv6hdr *iph, struct tcphdr *th", "6.0", True, "check an ACK's SYN cookie from the headers alone, IPv6"),
    HelperSpec(208, "bpf_ktime_get_tai_ns", "u64", "void", "6.1", False, "nanoseconds of atomic time, without leap seconds (CLOCK_TAI)"),
    HelperSpec(209, "bpf_user_ringbuf_drain", "long", "struct bpf_map *map, void *callback_fn, void *ctx, u64 flags", "6.1", False, "call a function for each record that user space put into a user ring buffer"),
    HelperSpec(210, "bpf_cgrp_storage_get", "void *", "struct bpf_map *map, struct cgroup *cgroup, void *value, u64 flags", "6.2", False, "the address of a cgroup's storage of a map, created if asked"),
    HelperSpec(211, "bpf_cgrp_storage_delete", "long", "struct bpf_map *map, struct cgroup *cgroup", "6.2", False, "remove a cgroup's storage of a map"),
)
# fmt: on

BY_ID: dict[int, HelperSpec] = {helper.id: helper for helper in HELPERS}
BY_NAME: dict[str, HelperSpec] = {helper.name: helper for helper in HELPERS}
