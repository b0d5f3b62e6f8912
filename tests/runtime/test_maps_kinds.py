"""A test for each map type that is more than a table, against the kernel, with bpftool beside."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.errors import EncodeError, LoadError, NotSupported
from ebpfasm.ir import MapSpec
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime.maps import EXIST, NOEXIST, Map, Target
from tests.runtime.samples import bpftool
from tests.support import excuse

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]

NO_PREALLOC = 1

# linux/if_xdp.h
AF_XDP, SOL_XDP = 44, 283
XDP_RX_RING, XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 2, 4, 5, 6


def made(type: str | int, key: int = 4, value: int = 8, entries: int = 4, **more: Any) -> Any:
    try:
        return Map.create(MapSpec("sample", type, key, value, entries, **more))
    except NotSupported as lacking:
        excuse(lacking, lacking.since)


def word(shown: Any) -> int:
    """A number that bpftool shows as bytes."""
    return int.from_bytes(bytes(int(each, 16) for each in shown), "little")


def refusal(task: Any) -> str:
    with pytest.raises(LoadError) as refused:
        task()
    return str(refused.value).removeprefix("error[map-operation]: ")


# ---- without keys


@pytest.mark.parametrize(("type", "order"), [("queue", [1, 2, 3]), ("stack", [3, 2, 1])])
def test_queues_and_stacks_are_pushed_peeked_and_popped(type: str, order: list[int]) -> None:
    with made(type, 0, 8, 3) as queue:
        assert not queue
        for number in (1, 2, 3):
            queue.push(number)
        assert word(bpftool("map", "peek", "id", queue.id)["value"]) == order[0]
        assert queue
        assert queue.peek() == order[0]
        assert [queue.pop() for _ in order] == order
        for empty in (queue.pop, queue.peek):
            with pytest.raises(IndexError, match="map 'sample' is empty"):
                empty()
        with pytest.raises(TypeError, match="pop takes no key"):
            queue.pop(1)


def test_a_full_queue_refuses_or_forgets_its_oldest() -> None:
    with made("queue", 0, 8, 2) as queue:
        queue.push(1)
        queue.push(2)
        assert refusal(lambda: queue.push(3)) == (
            "cannot write map 'sample': it is full; it has room for 2 entries (E2BIG)"
        )
        queue.push(3, EXIST)
        assert [queue.pop(), queue.pop()] == [2, 3]
        assert refusal(lambda: queue.push(1, NOEXIST)).endswith(
            "takes the flags ANY and EXIST (EINVAL)"
        )
        assert refusal(lambda: list(queue)).endswith(
            "a map of type queue cannot do that from user space (EOPNOTSUPP)"
        )
        queue.push(1)
        queue.clear()
        assert not queue


def test_a_bloom_filter_knows_what_was_pushed() -> None:
    with made("bloom_filter", 0, 8, 1000, map_extra=3) as filter:
        for number in range(50):
            filter.push(number)
        assert all(number in filter for number in range(50))
        assert sum(number in filter for number in range(10_000, 11_000)) < 20
        assert "text" not in filter
        shown = bpftool("map", "show", "id", filter.id)
        assert (shown["type"], shown["max_entries"]) == ("bloom_filter", 1000)


@pytest.mark.parametrize(
    ("type", "entries", "flags"),
    [("ringbuf", 4096, 0), ("user_ringbuf", 4096, 0), ("arena", 2, 0x400)],
)
def test_rings_and_arenas_have_no_elements(type: str, entries: int, flags: int) -> None:
    with made(type, 0, 0, entries, flags=flags) as ring:
        # an older bpftool shows the numbers of types that it does not know
        shown = bpftool("map", "show", "id", ring.id)["type"]
        assert shown in (type, MAP_TYPES.by_name[type].id)
        assert refusal(lambda: list(ring)).endswith(
            f"a map of type {type} cannot do that from user space (EOPNOTSUPP)"
        )


# ---- prefixes


def test_a_trie_finds_the_longest_prefix() -> None:
    with made("lpm_trie", 8, 8, 10, flags=NO_PREALLOC) as trie:
        trie["10.0.0.0/8"] = 1
        trie[IPv4Network("10.1.0.0/16")] = 2
        assert (trie["10.1.2.3"], trie["10.2.0.1"], trie.get("11.0.0.1")) == (2, 1, None)
        assert trie.snapshot() == {IPv4Network("10.0.0.0/8"): 1, IPv4Network("10.1.0.0/16"): 2}
        key = struct.pack("=I4B", 32, 10, 1, 9, 9)
        assert word(bpftool("map", "lookup", "id", trie.id, "key", *key)["value"]) == 2
        assert trie.pop("10.1.0.0/16") == 2
        assert trie["10.1.2.3"] == 1
        with pytest.raises(EncodeError, match="has host bits set"):
            trie["10.1.2.3/8"] = 1


def test_a_trie_of_ipv6_and_one_of_something_else() -> None:
    with made("lpm_trie", 20, 8, 10, flags=NO_PREALLOC) as trie:
        trie["fe80::/10"] = 1
        assert list(trie) == [IPv6Network("fe80::/10")]
        with pytest.raises(EncodeError, match=r"IPv4 in IPv6 is written ::ffff:10\.0\.0\.0/104"):
            trie["10.0.0.0/8"] = 1
    with made("lpm_trie", 5, 8, 10, flags=NO_PREALLOC) as trie:  # the smallest key there is
        trie[4, b"\xf0"] = 1
        assert trie[8, b"\xf7"] == 1
        assert list(trie) == [(4, b"\xf0")]


# ---- maps, programs


@pytest.mark.parametrize("type", ["array_of_maps", "hash_of_maps"])
def test_inner_maps_are_maps(type: str) -> None:
    inner = MapSpec("inner", "hash", 4, 8, 8)
    with made(type, 4, 4, 3, inner=inner) as outer, Map.create(inner) as one:
        one[7] = 8
        outer[1] = one
        outer[2] = {5: 6}  # a new one with these contents
        with outer[1] as again:
            assert again.id == one.id
            again[9] = 10
        assert one.snapshot() == {7: 8, 9: 10}
        assert outer.snapshot() == {1: {7: 8, 9: 10}, 2: {5: 6}}
        assert outer.get(0) is None
        assert {key: len(found) for key, found in outer.items()} == {1: 2, 2: 1}
        shown = bpftool("map", "dump", "id", outer.id)
        listed = {word(each["key"]): word(each["value"]) for each in shown if "value" in each}
        assert listed == outer.ids()
        assert listed[1] == one.id
        del outer[1]
        assert list(outer) == [2]
        with pytest.raises(KeyError):
            outer[1]
        with pytest.raises(EncodeError, match="is an open map, or its descriptor; 'x' was given"):
            outer[0] = "x"


TAIL = """
.license "GPL"
.map next, prog_array, key=u32, value=u32, max_entries=2
.section xdp
.globl first
first:
    r2 = next ll
    r3 = 1
    call bpf_tail_call
    r0 = 1
    exit
.globl second
second:
    r0 = 3
    exit
"""


def test_a_prog_array_takes_programs_and_keeps_them() -> None:
    with ebpfasm.load(assemble(TAIL)) as loaded:
        next, first = loaded.maps["next"], loaded.programs["first"]
        assert first.test_run(bytes(64)).retval == 1
        second = loaded.programs["second"]
        next[1] = second
        number = second.id
        second.close()
        assert first.test_run(bytes(64)).retval == 3
        assert next.snapshot() == {1: number}
        seen = bpftool("map", "lookup", "id", next.id, "key", 1, 0, 0, 0)
        assert word(seen["value"]) == number
        del next[1]
        assert first.test_run(bytes(64)).retval == 1
        with pytest.raises(EncodeError, match="is an open program, or its descriptor"):
            next[0] = "first"
        assert refusal(lambda: next.put(0, next)).endswith("(EINVAL)")


def test_a_prog_array_is_emptied_with_its_last_descriptor() -> None:
    with ebpfasm.load(assemble(TAIL)) as loaded:
        first = loaded.programs["first"]
        loaded.maps["next"][1] = loaded.programs["second"]
        assert first.test_run(bytes(64)).retval == 3
        loaded.maps["next"].close()
        # The kernel empties it after a grace period.
        assert any(first.test_run(bytes(64)).retval == 1 for _ in range(100_000))


# ---- interfaces and processors


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
@pytest.mark.parametrize("size", [4, 8])
def test_interfaces_are_taken_by_name_or_index(type: str, size: int) -> None:
    index = socket.if_nametoindex("lo")
    with made(type, 4, size, 4) as devices:
        devices[1] = "lo"
        devices[3] = index
        shown = Target(index) if size == 8 else index
        assert devices.snapshot() == {1: shown, 3: shown}
        assert 0 not in devices
        seen = bpftool("map", "lookup", "id", devices.id, "key", 1, 0, 0, 0)
        assert word(seen["value"][:4]) == index
        with pytest.raises(EncodeError, match="there is no interface 'nosuch0'"):
            devices[1] = "nosuch0"
        del devices[1]
        assert list(devices) == [3]


def test_a_devmap_s_program_runs_behind_the_interface() -> None:
    spec = assemble('.license "GPL"\n.section xdp/devmap\nbehind:\n    r0 = 2\n    exit\n')
    with ebpfasm.load(spec) as loaded, made("devmap", 4, 8) as devices:
        program = loaded.programs["behind"]
        devices[0] = "lo", program
        assert devices[0] == Target(socket.if_nametoindex("lo"), program.id)
    with made("devmap", 4, 4) as plain, pytest.raises(EncodeError, match="8 bytes has room for a"):
        plain[0] = "lo", 5


def test_a_cpumap_holds_the_sizes_of_queues() -> None:
    with made("cpumap", 4, 8, 4) as processors:
        processors[0] = 192
        assert processors.snapshot() == {0: Target(192)}
        seen = bpftool("map", "lookup", "id", processors.id, "key", 0, 0, 0, 0)
        assert word(seen["value"][:4]) == 192
        with pytest.raises(EncodeError, match="is a queue's size, or a pair of it and a program"):
            processors[0] = "lo"


# ---- sockets


def listening() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


@pytest.mark.parametrize("type", ["sockmap", "sockhash", "reuseport_sockarray"])
def test_sockets_go_in_and_come_back_as_cookies(type: str) -> None:
    so_cookie = 57  # SO_COOKIE, linux/socket.h
    with made(type, 4, 8) as sockets, listening() as one:
        sockets[1] = one
        (cookie,) = struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, so_cookie, 8))
        assert sockets[1] == cookie
        assert sockets.snapshot() == {1: cookie}
        seen = bpftool("map", "lookup", "id", sockets.id, "key", 1, 0, 0, 0)
        assert word(seen["value"]) == cookie
        del sockets[1]
        sockets[1] = one.fileno()
        one.close()
        assert sockets.get(1) is None
    with made(type, 4, 4) as narrow, listening() as one:
        narrow[1] = one
        assert "values of 4 bytes have no room for a socket's cookie" in refusal(lambda: narrow[1])
        with pytest.raises(EncodeError, match="is an open socket, or its descriptor"):
            narrow[0] = "socket"
        assert "its values are open descriptors, each of a socket" in refusal(
            lambda: narrow.put(0, 1_000_000)
        )


def test_a_sockmap_says_which_sockets_it_takes() -> None:
    with made("sockmap", 4, 8) as sockets, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as new:
        assert "it takes connected or listening sockets" in refusal(lambda: sockets.put(0, new))


def test_an_xskmap_takes_af_xdp_sockets() -> None:
    memory = mmap.mmap(-1, 16 * 4096)
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with made("xskmap", 4, 4) as sockets, socket.socket(AF_XDP, socket.SOCK_RAW) as one:
        # struct xdp_umem_reg, and a fill, completion and receive ring, which new kernels want
        region = struct.pack("=QQIIII", place, len(memory), 4096, 0, 0, 0)
        one.setsockopt(SOL_XDP, XDP_UMEM_REG, region)
        for ring in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING):
            one.setsockopt(SOL_XDP, ring, 16)
        sockets[0] = one
        assert refusal(lambda: sockets[0]).endswith("cannot do that from user space (EOPNOTSUPP)")
        del sockets[0]
        with socket.socket() as other:
            assert refusal(lambda: sockets.put(1, other)).startswith("cannot write map 'sample'")


# ---- values that live with something


def stored(storage: Map, key: Any, raw: bytes) -> None:
    storage[key] = 5
    assert storage[key] == 5
    assert key in storage
    seen = bpftool("map", "lookup", "id", storage.id, "key", *raw)
    assert seen is None or word(seen["value"]) == 5
    assert storage.pop(key) == 5
    assert key not in storage
    assert "cannot walk map 'sample': a map of type" in refusal(lambda: list(storage))


def created(type: str) -> Any:
    return made(type, 4, 8, 0, flags=NO_PREALLOC)


def test_a_socket_s_value_is_under_the_socket() -> None:
    with created("sk_storage") as storage, socket.socket() as one:
        stored(storage, one, struct.pack("=I", one.fileno()))


def test_an_inode_s_value_is_under_an_open_file(tmp_path: Path) -> None:
    with created("inode_storage") as storage, open(tmp_path / "file", "w") as file:
        stored(storage, file, struct.pack("=I", file.fileno()))


def test_a_task_s_value_is_under_its_pidfd() -> None:
    fd = os.pidfd_open(os.getpid())
    try:
        with created("task_storage") as storage:
            stored(storage, fd, struct.pack("=I", fd))
            assert "its keys are open descriptors, each of a pidfd" in refusal(
                lambda: storage.put(1_000_000, 1)
            )
    finally:
        os.close(fd)


def test_a_cgroup_s_value_is_under_its_folder(cgroup: Path) -> None:
    fd = os.open(cgroup, os.O_RDONLY)
    try:
        with created("cgrp_storage") as storage:
            stored(storage, fd, struct.pack("=I", fd))
    finally:
        os.close(fd)


@pytest.mark.parametrize("type", ["cgroup_storage", "percpu_cgroup_storage"])
def test_cgroup_storage_is_there_for_attached_programs_only(type: str) -> None:
    with made(type, 8, 8, 0) as storage:
        assert len(storage) == 0
        assert bpftool("map", "show", "id", storage.id)["type"] == type
        assert storage.get(1) is None


# ---- the rest


def test_a_cgroup_array_takes_folders(cgroup: Path) -> None:
    with made("cgroup_array", 4, 4) as cgroups:
        cgroups[1] = cgroup
        fd = os.open(cgroup, os.O_RDONLY)
        cgroups[2] = fd
        os.close(fd)
        assert refusal(lambda: cgroups[1]).endswith("cannot do that from user space (ENOTSUPP)")
        assert refusal(lambda: cgroups.put(0, 1_000_000)).endswith(
            "each of a cgroup's folder (EBADF)"
        )
        del cgroups[1]
        with pytest.raises(KeyError):
            del cgroups[1]


def test_a_perf_event_array_has_a_slot_for_each_processor() -> None:
    with made("perf_event_array", 4, 4, 0) as events:
        assert bpftool("map", "show", "id", events.id)["max_entries"] == events.max_entries
        assert "its values are open descriptors, each of a perf event" in refusal(
            lambda: events.put(0, 1_000_000)
        )


STACKS = """
.license "GPL"
.map stacks, stack_trace, key=u32, value_size=80, max_entries=16
.section raw_tp
take:
    r2 = stacks ll
    r3 = 0
    call bpf_get_stackid
    exit
"""


def test_stack_traces_are_lists_of_addresses() -> None:
    with made("stack_trace", 4, 80, 16) as stacks:
        assert stacks.snapshot() == {}
        assert stacks.get(3) is None
        with pytest.raises(EncodeError, match="is written by programs only"):
            stacks[0] = [1]
    with ebpfasm.load(assemble(STACKS)) as loaded:
        number = loaded.programs["take"].test_run().retval
        stacks = loaded.maps["stacks"]
        assert list(stacks) == [number]
        frames = stacks[number]
        seen = bpftool("map", "lookup", "id", stacks.id, "key", *struct.pack("=I", number))
        raw = bytes(int(each, 16) for each in seen["value"])
        assert frames == [each for (each,) in struct.iter_unpack("=Q", raw) if each]
        assert frames
        del stacks[number]
        assert stacks.snapshot() == {}


def test_types_are_taken_by_number_too() -> None:
    with made(1) as table:
        table[1] = 2
        assert (table.type, table.snapshot()) == ("hash", {1: 2})
    newest = max(each.id for each in MAP_TYPES) + 100
    with pytest.raises(LoadError) as refused:
        made(newest)
    assert refused.value.errno == errno.EINVAL
