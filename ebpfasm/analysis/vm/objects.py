"""Kernel objects that a test puts into the world: sockets, cgroups, tasks, inodes, files, paths.

A program gets one as an address, from its context or from a helper, and hands it back to
helpers. What it reads behind a socket's address is struct bpf_sock; behind the others lies
`memory`, the bytes of the kernel's struct as far as the test supplies them.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from ebpfasm.errors import VmError, error
from ebpfasm.isa import contexts

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.memory import Memory, Region

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10  # Linux's, whatever system this runs on
TCP, UDP, SOCK_STREAM, SOCK_DGRAM = 6, 17, 1, 2
ESTABLISHED, TIME_WAIT, CLOSE, LISTEN, NEW_SYN_RECV = 1, 6, 7, 10, 12  # BPF_TCP_*


@dataclass(slots=True, eq=False)
class Cgroup:
    """A cgroup (version 2): its id, and the ids above it, the root first."""

    id: int = 1
    ancestors: tuple[int, ...] = ()
    memory: bytes = b""

    def ancestor(self, level: int) -> int:
        """The id at a depth, the root's at 0; 0 where there is none."""
        line = (*self.ancestors, self.id)
        return line[level] if 0 <= level < len(line) else 0


@dataclass(slots=True, eq=False)
class Socket:
    """A socket. Addresses are text, ports and numbers as the host has them.

    `state` is a BPF_TCP_* number. `tcp` has fields of bpf_tcp_sock, `options` the values of
    socket options by (level, name), `saved_syn` the headers of a SYN that was kept. A `cookie` of
    0 is given a number when it is first asked for.
    """

    family: int = AF_INET
    type: int = SOCK_STREAM
    protocol: int = TCP
    src_ip: str = ""
    src_port: int = 0
    dst_ip: str = ""
    dst_port: int = 0
    state: int = LISTEN
    bound_dev_if: int = 0
    mark: int = 0
    priority: int = 0
    rx_queue_mapping: int = -1
    cookie: int = 0
    uid: int = 0
    netns: int = 1
    cgroup: Cgroup = field(default_factory=Cgroup)
    only_ipv6: bool = False
    reuseport: bool = False
    tcp: Mapping[str, int] = field(default_factory=dict)
    options: dict[tuple[int, int], bytes] = field(default_factory=dict)
    callbacks: int = 0  # bpf_sock_ops_cb_flags
    saved_syn: bytes = b""
    memory: bytes = b""

    @property
    def full(self) -> bool:
        """Whether it is a full socket: no request and not in time-wait."""
        return self.state not in (TIME_WAIT, NEW_SYN_RECV)

    def render(self) -> bytes:
        """Its bytes as struct bpf_sock. Raises VmError for what does not fit."""
        values: dict[str, int] = {
            "bound_dev_if": self.bound_dev_if, "family": self.family, "type": self.type,
            "protocol": self.protocol, "mark": self.mark, "priority": self.priority,
            "src_port": self.src_port, "dst_port": self.dst_port, "state": self.state,
            "rx_queue_mapping": self.rx_queue_mapping,
        }  # fmt: skip
        raw = pack_fields("bpf_sock", values)
        _put_address(raw, "src", self.src_ip)
        _put_address(raw, "dst", self.dst_ip)
        return bytes(raw)

    def render_tcp(self) -> bytes:
        """Its bytes as struct bpf_tcp_sock."""
        return bytes(pack_fields("bpf_tcp_sock", self.tcp))


@dataclass(slots=True, eq=False)
class Inode:
    """An inode. `ima` is the hash that IMA knows: the algorithm's number and the bytes."""

    number: int = 1
    ima: tuple[int, bytes] | None = None
    memory: bytes = b""


@dataclass(slots=True, eq=False)
class File:
    """An open file: its name, and what stands behind it."""

    path: str = ""
    inode: Inode | None = None
    socket: Socket | None = None
    ima: tuple[int, bytes] | None = None
    memory: bytes = b""


@dataclass(slots=True, eq=False)
class Path:
    """What bpf_d_path makes a name of."""

    name: str = ""
    memory: bytes = b""


@dataclass(slots=True, eq=False)
class Area:
    """An area of a task's memory (vm_area_struct), for bpf_find_vma."""

    start: int
    end: int
    memory: bytes = b""


@dataclass(slots=True, eq=False)
class Task:
    """Who the program interrupts: what bpf_get_current_* say.

    `stack` and `user_stack` are addresses, innermost first; without `stack` the kernel's is made
    of the program's own frames. `registers` are the bytes of its pt_regs. `namespaces` maps
    (device, inode) of a PID namespace to the pid and tgid there.
    """

    pid: int = 1
    tgid: int = 1
    uid: int = 0
    gid: int = 0
    comm: bytes = b"ebpfasm"
    cgroup_id: int = 1
    cgroup_ancestors: tuple[int, ...] = ()
    classid: int = 0
    stack: tuple[int, ...] | None = None
    user_stack: tuple[int, ...] | None = None
    registers: bytes = b""
    namespaces: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    areas: tuple[Area, ...] = ()
    memory: bytes = b""

    @property
    def cgroup(self) -> Cgroup:
        """The cgroup it is in."""
        return Cgroup(self.cgroup_id, self.cgroup_ancestors)


Object = Cgroup | Socket | Inode | File | Path | Area | Task

_STRUCTS: dict[type, str] = {
    Cgroup: "cgroup", Socket: "bpf_sock", Inode: "inode", File: "file", Path: "path",
    Area: "vm_area_struct", Task: "task_struct",
}  # fmt: skip


class Objects:
    """Where the world's objects are. An object keeps its address as long as the world is there."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._placed: dict[tuple[int, str], tuple[Any, Region]] = {}
        self._cookies = 0

    def place(self, item: Any, view: str = "") -> int:
        """The address of an object, as the struct `view` where it has several. 0 for None.

        Raises VmError where it is no object.
        """
        if item is None:
            return 0
        struct = view or _STRUCTS.get(type(item), "")
        if not struct:
            raise VmError(error("vm-input", f"{item!r} is no kernel object"))
        key = id(item), struct
        found = self._placed.get(key)
        if found is None:
            content = bytearray(_content(item, struct))
            name = f"struct {struct}"
            region = self.memory.add("object", name, content, writable=False, owner=item)
            found = self._placed[key] = (item, region)
        return found[1].address

    def at(self, address: int) -> Any:
        """The object at an address, None where there is none."""
        region = self.memory.find(address)
        if region is None or region.kind != "object" or region.address != address:
            return None
        return region.owner

    def refresh(self) -> None:
        """Show what the test changed in its objects since they were placed."""
        for (_, struct), (item, region) in self._placed.items():
            content = _content(item, struct)
            if content == region.host:
                continue
            if len(content) == len(region.host):
                region.host[:] = content
            else:
                region.host, region.high = bytearray(content), len(content)
                self.memory.changed(region)

    def cookie(self, socket: Socket) -> int:
        """A socket's cookie; one that has none gets the next number."""
        if not socket.cookie:
            self._cookies += 1
            socket.cookie = self._cookies
        return socket.cookie

    def __iter__(self) -> Iterator[Any]:
        return iter([item for item, _ in self._placed.values()])


def identity(objects: Objects, item: Any) -> int:
    """The number by which a test names an object: cookie, pid, inode number or cgroup id."""
    match item:
        case Socket():
            return objects.cookie(item)
        case Task():
            return item.pid
        case Inode():
            return item.number
        case Cgroup():
            return item.id
        case _:
            return int(item)


def _content(item: Any, struct: str) -> bytes:
    match item, struct:
        case Socket(), "bpf_sock":
            return item.render()
        case Socket(), "bpf_tcp_sock":
            return item.render_tcp()
        case Task(), "pt_regs":
            return item.registers
        case File(), "path":
            return b""
        case _:
            return bytes(item.memory)


def pack_fields(struct: str, values: Mapping[str, int]) -> bytearray:
    """A struct's bytes from its fields by name. Raises VmError for what is not there or too big."""
    owner = contexts.struct(struct)
    assert owner is not None
    raw = bytearray(owner.size)
    for name, value in values.items():
        put_field(raw, struct, name, value)
    return raw


def put_field(raw: bytearray, struct: str, name: str, value: Any) -> None:
    """Store a field. Raises VmError where there is no such field, or the number does not fit."""
    found = contexts.field(f"{struct}.{name}")
    if found is None:
        raise VmError(error("vm-input", f"struct {struct} has no field {name!r}"))
    order: Literal["little", "big"] = "big" if found.type.startswith("be") else sys.byteorder
    try:
        signed = found.type.startswith("s") and not found.type.startswith("struct")
        content = int(value).to_bytes(found.size, order, signed=signed and value < 0)
    except (OverflowError, TypeError, ValueError):
        bits = 8 * found.size
        message = f"{struct}.{name} holds {bits} bits; {value!r} was given"
        raise VmError(error("vm-input", message)) from None
    raw[found.offset : found.offset + found.size] = content


def _put_address(raw: bytearray, side: str, text: str) -> None:
    if not text:
        return
    packed = packed_address(text)
    found = contexts.field(f"bpf_sock.{side}_ip{'4' if len(packed) == 4 else '6'}")
    assert found is not None
    raw[found.offset : found.offset + len(packed)] = packed


def packed_address(text: str) -> bytes:
    """An IP address's bytes. Raises VmError where the text is none."""
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise VmError(error("vm-input", f"{text!r} is no IP address")) from None


def is_object(value: Any) -> bool:
    """Whether a test gave an object where a number could stand."""
    return type(value) in _STRUCTS


def names(kind: type) -> tuple[str, ...]:
    """The fields of a kind of object."""
    return tuple(each.name for each in fields(kind))
