"""Every way to attach a program, as methods: a mixin of Program, and `attach` that chooses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.runtime.pins import Pinnable

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.iterators import IterLink
    from ebpfasm.runtime.attach.order import Neighbour
    from ebpfasm.runtime.attach.sockets import HasFileno
    from ebpfasm.runtime.links import Link, Mode, Via
    from ebpfasm.runtime.maps import Map
    from ebpfasm.runtime.perf_event import PerfEvent

ProbeVia = Literal["auto", "perf", "tracefs"]
AttachVia = Literal["auto", "link", "attach"]


class Attachable(Pinnable):
    """What can be attached: an open program that knows its description.

    Each method returns a Link, a context manager that detaches at the end of its `with` block,
    and raises LoadError: attach-failed with the kernel's reason in words, permission with the
    capability that is missing; NotSupported for what this kernel lacks; ValueError for options
    that are none, or that exclude each other. A `cookie` is a number that the program reads with
    bpf_get_attach_cookie.
    """

    spec: ProgramSpec
    name: str
    type: str

    @property
    def id(self) -> int:
        """The kernel's number for the program."""
        raise NotImplementedError

    def attach(self, target: Any = None, **options: Any) -> Link:
        """Attach in the way that the program's section names.

        `target` is to what, where the section does not say: the interface for XDP and tc, the
        cgroup's folder, the socket, the function, "category/name" of a tracepoint,
        "binary:function". `options` are those of the typed method. The link's `kind` and repr
        tell what was used. Raises LoadError, NotSupported for types that nothing attaches.
        """
        from ebpfasm.runtime.attach.auto import attach

        return attach(self, target, options)

    # Network interfaces ------------------------------------------------------------------------

    def attach_xdp(
        self,
        iface: str | int,
        mode: Mode = "auto",
        *,
        replace: bool | Attachable = False,
        via: Via = "auto",
    ) -> Link:
        """Attach to a network interface, by name or index, and return the link.

        `mode` is "native" (in the driver), "generic" (in the stack, for any driver), "offload"
        (on the card, for programs that `load(..., device=, offload=True)` put there) or "auto",
        which leaves it to the kernel. `via` is "link" for a BPF link,
        "netlink", or "auto": a link where the kernel has them for XDP (5.9). `replace` takes
        the place of a program that was attached without a link; it does not come back. Given as
        a program, only that one is replaced (Linux 5.7).
        Raises LoadError: interface-missing, attach-failed, permission; ValueError.
        """
        from ebpfasm.runtime.attach.xdp import attach

        return attach(self, iface, mode, replace=replace, via=via)

    def attach_tc(
        self,
        iface: str | int,
        direction: Literal["ingress", "egress"] = "ingress",
        *,
        via: Literal["auto", "tcx", "clsact"] = "auto",
        before: Neighbour = None,
        after: Neighbour = None,
        priority: int | None = None,
    ) -> Link:
        """Attach to the packets that enter or leave a network interface.

        `via` is "tcx" for a BPF link (Linux 6.6), "clsact" for a filter with direct action in
        the clsact qdisc, or "auto": a link where there are any. A link is put last, or `before`
        or `after` a program, a link, or "all" others. A filter gets the first free `priority`
        from 1 on; asking for one means a filter. The filter is removed with the link, and the
        qdisc where it was made for it.
        """
        from ebpfasm.runtime.attach.tc import attach_tc

        return attach_tc(
            self, iface, direction, via=via, before=before, after=after, priority=priority
        )

    def attach_netkit(
        self,
        iface: str | int,
        end: Literal["primary", "peer"] = "primary",
        *,
        before: Neighbour = None,
        after: Neighbour = None,
    ) -> Link:
        """Attach to one end of a netkit device, named by its primary (Linux 6.7).

        The program is to be loaded for that end (section netkit/primary, netkit/peer).
        """
        from ebpfasm.runtime.attach.tc import attach_netkit

        return attach_netkit(self, iface, end, before=before, after=after)

    def attach_netfilter(
        self,
        family: Literal["ipv4", "ipv6"] = "ipv4",
        hook: str = "local_in",
        *,
        priority: int = 0,
        defragment: bool = False,
    ) -> Link:
        """Attach to a netfilter hook of the thread's network namespace (Linux 6.4).

        `hook` is pre_routing, local_in, forward, local_out or post_routing. Programs run in the
        order of their `priority`, which only one may have. With `defragment` the program sees
        whole packets.
        """
        from ebpfasm.runtime.attach.netfilter import attach_netfilter

        return attach_netfilter(self, family, hook, priority=priority, defragment=defragment)

    def attach_route(
        self,
        destination: str,
        iface: str | int,
        *,
        gateway: str | None = None,
        table: int | None = None,
        headroom: int = 0,
    ) -> Link:
        """Make a route that runs a program of a lightweight tunnel (lwt_in, out, xmit, seg6local).

        `destination` is a network such as "10.0.0.0/24". `headroom` is how many bytes an
        lwt_xmit program may put before a packet. The route is removed with the link.
        """
        from ebpfasm.runtime.attach.routes import attach_route

        return attach_route(
            self, destination, iface, gateway=gateway, table=table, headroom=headroom
        )

    # Sockets and cgroups -----------------------------------------------------------------------

    def attach_socket(self, socket: HasFileno) -> Link:
        """Attach to a socket, or anything with its `fileno()`: a filter of what it receives.

        A program of type sk_reuseport goes to the socket's group. The program stays on the
        socket until the link is detached or the socket is closed.
        """
        from ebpfasm.runtime.attach.sockets import attach_socket

        return attach_socket(self, socket)

    def attach_reuseport(self, socket: HasFileno) -> Link:
        """Have the program choose among the sockets that share a port with this one.

        It is of type sk_reuseport, or a socket filter that returns the socket's index.
        """
        from ebpfasm.runtime.attach.sockets import attach_reuseport

        return attach_reuseport(self, socket)

    def attach_sockmap(self, map: Map, *, via: AttachVia = "auto") -> Link:
        """Attach an sk_msg or sk_skb program to the sockets in a sockmap or sockhash.

        The map's program is that of the sockets that are put into it from then on; they keep it,
        after detach() too, until they are taken out. `via` is "link" (Linux 6.10), "attach" for
        BPF_PROG_ATTACH, or "auto".
        """
        from ebpfasm.runtime.attach.sockets import attach_sockmap

        return attach_sockmap(self, map, via=via)

    def attach_netns(self, namespace: HasFileno | int | str | None = None) -> Link:
        """Attach an sk_lookup or flow_dissector program to a network namespace.

        That is the calling thread's, or one given by its path, descriptor or Namespace.
        """
        from ebpfasm.runtime.attach.sockets import attach_netns

        return attach_netns(self, namespace)

    def attach_cgroup(
        self,
        cgroup: str | os.PathLike[str] | int,
        attach_type: str = "",
        *,
        via: AttachVia = "auto",
        sharing: Literal["multi", "override", "exclusive"] = "multi",
        replace: Attachable | None = None,
        before: Neighbour = None,
        after: Neighbour = None,
    ) -> Link:
        """Attach to a cgroup of version 2, by its folder or a descriptor of that.

        `attach_type` is a name such as "cgroup_inet_egress", "ingress" or "egress", needed where
        the section says none (cgroup/skb). `via` is "link" (Linux 5.7), "attach" for
        BPF_PROG_ATTACH, or "auto". `sharing` says what cgroups below may do, and anything but
        "multi" means BPF_PROG_ATTACH, as `replace` does: "override" lets them have a program
        instead, "exclusive" none. `before` and `after` order the programs (Linux 6.16).
        """
        from ebpfasm.runtime.attach.cgroups import attach_cgroup

        return attach_cgroup(
            self, cgroup, attach_type, via=via, sharing=sharing, replace=replace,
            before=before, after=after,
        )  # fmt: skip

    def attach_lirc(self, device: str = "/dev/lirc0") -> Link:
        """Attach to an infrared receiver."""
        from ebpfasm.runtime.attach.sockets import attach_lirc

        return attach_lirc(self, device)

    # Tracing -----------------------------------------------------------------------------------

    def attach_tracepoint(self, category: str, name: str, *, cookie: int = 0) -> Link:
        """Attach to a tracepoint, such as "syscalls", "sys_enter_openat".

        By a perf event with a link (Linux 5.15), else by ioctl(2), which takes no cookie.
        """
        from ebpfasm.runtime.attach.tracepoints import attach_tracepoint

        return attach_tracepoint(self, category, name, cookie=cookie)

    def attach_raw_tracepoint(self, name: str = "", *, cookie: int = 0) -> Link:
        """Attach to a tracepoint with its raw arguments, such as "sched_switch".

        A program with BTF types (tp_btf) goes to the tracepoint that it was loaded for. Cookies
        are there from Linux 6.10 on.
        """
        from ebpfasm.runtime.attach.tracepoints import attach_raw_tracepoint

        return attach_raw_tracepoint(self, name, cookie=cookie)

    def attach_kprobe(
        self,
        function: str,
        *,
        offset: int = 0,
        retprobe: bool = False,
        cookie: int = 0,
        via: ProbeVia = "auto",
    ) -> Link:
        """Attach to a function of the kernel ("do_unlinkat", "do_unlinkat+0x10"), or its return.

        `offset` in bytes. `via` is "perf" (perf_event_open, Linux 4.17), "tracefs", or "auto".
        Cookies are there from Linux 5.15 on. NotSupported where the kernel has no kprobes.
        """
        from ebpfasm.runtime.attach.kprobes import attach_kprobe

        return attach_kprobe(
            self, function, offset=offset, retprobe=retprobe, cookie=cookie, via=via
        )

    def attach_ksyscall(
        self, name: str, *, retprobe: bool = False, cookie: int = 0, via: ProbeVia = "auto"
    ) -> Link:
        """Attach a kprobe to a system call's function, whatever it is called here ("openat").

        The arguments of the call are in the registers that the first argument points to, on
        architectures with system call wrappers.
        """
        from ebpfasm.runtime.attach.kprobes import attach_ksyscall

        return attach_ksyscall(self, name, retprobe=retprobe, cookie=cookie, via=via)

    def attach_kprobe_multi(
        self,
        functions: str | Iterable[str],
        *,
        retprobe: bool = False,
        cookies: Iterable[int] = (),
    ) -> Link:
        """Attach to many functions of the kernel by one link (Linux 5.18, CONFIG_FPROBE).

        `functions` are names, or a pattern ("tcp_*"). The program is to be loaded for it (section
        kprobe.multi, kretprobe.multi, or kprobe.session, which runs at entry and return).
        `cookies` is a number for each of the names.
        """
        from ebpfasm.runtime.attach.kprobes import attach_kprobe_multi

        return attach_kprobe_multi(self, functions, retprobe=retprobe, cookies=cookies)

    def attach_uprobe(
        self,
        binary: str | os.PathLike[str],
        function: str | int,
        *,
        pid: int | None = None,
        retprobe: bool = False,
        cookie: int = 0,
        via: ProbeVia = "auto",
    ) -> Link:
        """Attach to a function of a program or library, or its return, in one process or all.

        `binary` is a path, a library's name ("libc.so.6") or a command's ("bash"); `function` a
        name, "name+0x10", or an offset in the file. Cookies are there from Linux 5.15 on.
        """
        from ebpfasm.runtime.attach.uprobes import attach_uprobe

        return attach_uprobe(
            self, binary, function, pid=pid, retprobe=retprobe, cookie=cookie, via=via
        )

    def attach_uprobe_multi(
        self,
        binary: str | os.PathLike[str],
        functions: str | Iterable[str],
        *,
        pid: int | None = None,
        retprobe: bool = False,
        cookies: Iterable[int] = (),
    ) -> Link:
        """Attach to many functions of a program or library by one link (Linux 6.6).

        `functions` are names, or a pattern ("mem*"). The program is to be loaded for it (section
        uprobe.multi, uretprobe.multi, or uprobe.session, which runs at entry and return).
        """
        from ebpfasm.runtime.attach.uprobes import attach_uprobe_multi

        return attach_uprobe_multi(
            self, binary, functions, pid=pid, retprobe=retprobe, cookies=cookies
        )

    def attach_usdt(
        self,
        binary: str | os.PathLike[str],
        provider: str,
        name: str,
        *,
        pid: int | None = None,
        cookie: int = 0,
    ) -> Link:
        """Attach to a USDT probe (SDT notes), at each of its places in a program or library.

        A program with libbpf's usdt.bpf.h gets its arguments, for its map __bpf_usdt_specs is
        filled in; that takes cookies (Linux 5.15), and x86-64 or arm64.
        """
        from ebpfasm.runtime.attach.usdt import attach_usdt

        return attach_usdt(self, binary, provider, name, pid=pid, cookie=cookie)

    def attach_perf_event(
        self,
        event: str | int | PerfEvent = "cpu-clock",
        *,
        period: int = 0,
        frequency: int = 0,
        cpu: int | None = None,
        pid: int | None = None,
        cookie: int = 0,
    ) -> Link:
        """Run at every sample of an event: "cpu-clock", "cpu-cycles", "page-faults", …

        A sample is taken every `period` events, or `frequency` times a second (99 where neither
        is given), on one `cpu`, in one process `pid`, or, where neither is given, on every CPU
        that is online. An int is the descriptor of an event that the caller opened.
        """
        from ebpfasm.runtime.attach.perf import attach_perf_event

        return attach_perf_event(
            self, event, period=period, frequency=frequency, cpu=cpu, pid=pid, cookie=cookie
        )

    def attach_tracing(self, *, cookie: int = 0) -> Link:
        """Attach an fentry, fexit or fmod_ret program to the function that it was loaded for.

        Cookies are there from Linux 5.19 on.
        """
        from ebpfasm.runtime.attach.tracing import attach_tracing

        return attach_tracing(self, cookie=cookie)

    def attach_tracing_multi(
        self, functions: str | Iterable[str], *, cookies: Iterable[int] = ()
    ) -> Link:
        """Attach to many functions of the kernel by one link (Linux 7.2).

        `functions` are names, or a pattern ("tcp_*"), with "MODULE:" before them for a module's.
        The program is to be loaded for it (section fentry.multi, fexit.multi, or fsession.multi,
        which runs at entry and return). `cookies` is a number for each of the names. Raises
        ValueError where there are more or fewer.
        """
        from ebpfasm.runtime.attach.tracing_multi import attach_tracing_multi

        return attach_tracing_multi(self, functions, cookies=cookies)

    def attach_lsm(self, *, cookie: int = 0) -> Link:
        """Attach to the security hook that the program was loaded for; lsm= must name bpf."""
        from ebpfasm.runtime.attach.tracing import attach_lsm

        return attach_lsm(self, cookie=cookie)

    def attach_freplace(
        self, target: Attachable | None = None, function: str | None = None, *, cookie: int = 0
    ) -> Link:
        """Put the program in place of a global function of a loaded program.

        By default that is the function that it was loaded for; with `target` another program's
        (Linux 5.10), whose function has the same arguments.
        """
        from ebpfasm.runtime.attach.tracing import attach_freplace

        return attach_freplace(self, target, function, cookie=cookie)

    def attach_iter(
        self,
        *,
        map: Map | None = None,
        cgroup: str | os.PathLike[str] | None = None,
        order: str = "self",
        tid: int | None = None,
        pid: int | None = None,
    ) -> IterLink:
        """Make an iterator; its link's `read()` gives what the program writes.

        `map` is for iterators over a map's elements; `cgroup`, a folder, with the `order`
        (self, descendants, descendants-post, ancestors, children) for those over cgroups;
        `tid` or `pid` for those over tasks.
        """
        from ebpfasm.runtime.attach.iterators import attach_iter

        return attach_iter(self, map=map, cgroup=cgroup, order=order, tid=tid, pid=pid)
