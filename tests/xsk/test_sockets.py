"""Sockets: opening, binding, sharing, what is told of them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import (
    BusyPoll,
    Census,
    Channels,
    Redirect,
    Umem,
    XskMultiSocket,
    XskSocket,
    channels,
    redirect_program,
)
from tests.support import find_tool, kernel_release, release_of
from tests.xsk.support import FRAME, descriptors, number, numbered

pytestmark = pytest.mark.kernel

SECOND = 10.0  # more than enough for what takes microseconds


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("copy", ["auto", "copy"])
def test_frames_come_in_order_and_go_out(cable: VethPair, mode: str, copy: str) -> None:
    with XskSocket.open("veth0", mode=mode, copy=copy) as xsk:  # type: ignore[arg-type]
        assert xsk.redirect is not None
        assert xsk.zero_copy is False  # veth has no zero-copy: the kernel says so itself
        cable.send(numbered(300))
        seen = [number(frame.data) for _, frame in zip(range(300), xsk, strict=False)]
        assert seen == list(range(300))
        with cable.socket("far", receive=True) as far:
            far.settimeout(SECOND)
            xsk.send(FRAME)
            assert far.recv(2048) == FRAME
        counters = xsk.counters()
        assert (counters.received, counters.received_bytes) == (300, 300 * 60)
        assert (counters.sent, counters.sent_bytes, counters.tx_dropped) == (1, 60, 0)
        assert xsk.drain(SECOND)
        assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)
    assert xsk.umem.census() == Census(free=4096, user=0, fill=0, tx=0)


@pytest.mark.tool("bpftool")
def test_bpftool_sees_program_and_map(cable: VethPair) -> None:
    bpftool = find_tool("bpftool")
    with XskSocket.open("veth0") as xsk:
        assert xsk.redirect is not None
        shown = subprocess.run(
            [bpftool, "-j", "map", "dump", "id", str(xsk.redirect.map.id)],
            capture_output=True, check=True,
        )  # fmt: skip
        # Sockets cannot be read from an XSKMAP; the error is the kernel's, and there is one key.
        assert b"Operation not supported" in shown.stdout
        with_maps = subprocess.run(
            [bpftool, "-j", "prog", "show", "id", str(xsk.redirect.program.id)],
            capture_output=True, check=True,
        )  # fmt: skip
        told = json.loads(with_maps.stdout)
        assert (told["type"], told["map_ids"]) == ("xdp", [xsk.redirect.map.id])
        with pytest.raises(LoadError, match="key 0 of map 'xsks_map' has another socket"):
            XskSocket.open("veth0", umem=xsk.umem)
        link = xsk.redirect.link
    assert link.closed


@pytest.mark.needs("xdp.frags on veth")
def test_the_program_is_accepted_by_our_verifier_and_by_the_kernel() -> None:
    for multi_buffer in (False, True):
        spec = redirect_program(4, multi_buffer=multi_buffer)
        assert ebpfasm.verify(spec.programs["xsk_redirect"]).ok
        with ebpfasm.load(spec) as live:
            assert live.programs["xsk_redirect"].test_run(FRAME).retval == 2  # XDP_PASS


def test_timeouts_are_seconds(xsk: XskSocket, cable: VethPair) -> None:
    assert xsk.recv(0) is None
    assert xsk.recv(0.01) is None
    assert len(xsk.recv_batch(timeout=0.01)) == 0
    assert list(xsk.frames(0.01)) == []
    cable.send([FRAME])
    with xsk.recv() as frame:
        assert bytes(frame) == FRAME


def test_the_descriptor_is_for_poll_and_the_second_socket_is_for_the_stack(
    xsk: XskSocket, cable: VethPair
) -> None:
    poll = select.poll()
    poll.register(xsk, select.POLLIN)
    assert poll.poll(0) == []
    cable.send([FRAME])
    assert poll.poll(10_000) == [(xsk.fileno(), select.POLLIN)]
    with xsk.recv(0) as frame:  # type: ignore[union-attr]
        assert len(frame) == 60
    assert poll.poll(0) == []


def test_asyncio_receives(xsk: XskSocket, cable: VethPair) -> None:
    async def receive(count: int) -> list[int]:
        found: list[int] = []
        async for frame in xsk:
            found.append(number(frame.data))
            if len(found) == count:
                break
        return found

    async def main() -> list[int]:
        receiving = asyncio.create_task(receive(70))
        await asyncio.sleep(0)  # let it wait
        cable.send(numbered(70))
        return await receiving

    assert asyncio.run(main()) == list(range(70))
    gc.collect()
    assert xsk.umem.census().user == 0


def test_what_one_loop_leaves_the_next_one_gets(xsk: XskSocket, cable: VethPair) -> None:
    cable.send(numbered(20))
    seen = []
    for frame in xsk:
        seen.append(number(frame.data))
        if len(seen) == 5:
            break
    with xsk.recv() as one:
        seen.append(number(one.data))
    with xsk.recv_batch(4, SECOND) as batch:
        seen += [number(view) for view in batch]
    seen += [number(frame.data) for frame in xsk.frames(0.05)]
    assert seen == list(range(20))
    assert xsk.counters().received == 20
    assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)


def test_receiving_inside_a_loop_keeps_every_frame(xsk: XskSocket, cable: VethPair) -> None:
    cable.send(numbered(12))
    seen = []
    for frame in xsk.frames(0.05, burst=8):
        seen.append(number(frame.data))
        if len(seen) == 3:
            with xsk.recv(SECOND) as other:  # type: ignore[union-attr]
                seen.append(number(other.data))
            break
    seen += [number(frame.data) for frame in xsk.frames(0.05)]
    assert sorted(seen) == list(range(12))
    assert xsk.umem.census().user == 0


def test_one_memory_for_two_sockets_on_one_queue(cable: VethPair) -> None:
    with (
        Umem(1024) as umem,
        XskSocket.open("veth0", umem=umem) as first,
        XskSocket.open("veth0", umem=umem, rx=False) as second,
    ):
        assert first.ring_queue is second.ring_queue
        with cable.socket("far", receive=True) as far:
            far.settimeout(SECOND)
            cable.send([FRAME])
            assert far.recv(2048) == FRAME  # what went out
            with first.recv(SECOND) as frame:  # type: ignore[union-attr]
                frame.data[0:6] = b"second"
                frame.send(via=second)
            assert far.recv(2048) == b"second" + FRAME[6:]
        assert second.counters().sent == 1
        assert first.drain(SECOND)
        first.close()
        second.send(FRAME)
        assert second.drain(SECOND)
        assert umem.census().total == 1024
        second.close()
        assert umem.census() == Census(free=1024, user=0, fill=0, tx=0)


def test_one_memory_for_two_queues_and_two_interfaces() -> None:
    with VethPair(queues=2) as pair, pair.near.entered(), Umem(2048) as umem:
        with (
            XskSocket.open("veth0", 0, umem=umem) as first,
            XskSocket.open("veth0", 1, umem=umem) as second,
        ):
            assert first.redirect is second.redirect is not None
            census = umem.census()
            assert census.total == 2048
            assert census.fill == 1024 + 512
            first.close()
            with XskSocket.open("veth0", 0, umem=umem) as again:
                assert again.redirect is second.redirect
        assert umem.census() == Census(free=2048, user=0, fill=0, tx=0)


def test_all_queues_as_one_socket() -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    with VethPair(queues=2) as pair, pair.near.entered():
        assert channels("veth0") == Channels(2, 2, 0, 2, 2, 0)
        addresses: dict[str, Any] = {"src": "02:00:00:00:00:02", "dst": "02:00:00:00:00:01"}
        flows = [
            bytes(Ether(**addresses) / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=port))
            for port in range(1, 201)
        ]
        with XskMultiSocket.open("veth0") as multi:
            pair.send(flows)
            queues = [0, 0]
            for _, frame in zip(flows, multi, strict=False):
                assert frame.home is not None
                queues[frame.home.settings.queue] += 1
            assert sum(queues) == 200
            assert min(queues) > 0
            assert multi.counters().received == 200
            assert multi.recv(0) is None
            pair.send(flows[:1])
            assert select.select([multi], [], [], SECOND)[0] == [multi]
            with multi.recv() as one:
                assert len(one) == len(flows[0])
        assert multi.closed
        assert all(each.closed for each in multi.sockets)


def test_a_socket_a_queue_in_threads() -> None:
    with VethPair(queues=2) as pair, pair.near.entered(), XskMultiSocket.open("veth0") as multi:
        ports = {each.queue: each for each in multi.sockets}
        assert sorted(ports) == [0, 1]
        pair.send([FRAME] * 10)
        assert sum(multi.in_threads(lambda each: each.drop(timeout=0.2))) == 10
        with pytest.raises(ZeroDivisionError):
            multi.in_threads(lambda each: 1 // each.queue)
        assert multi.closed


def test_a_socket_a_queue_in_processes() -> None:
    with (
        VethPair(queues=2) as pair,
        pair.near.entered(),
        Redirect("veth0") as redirect,
    ):
        read, write = os.pipe()
        children = []
        for queue in (0, 1):
            child = os.fork()
            if child == 0:
                try:
                    with XskSocket.open("veth0", queue, attach=redirect) as xsk:
                        os.write(write, b"r")
                        os._exit(100 + xsk.drop(timeout=1.5))
                finally:
                    os._exit(99)
            children.append(child)
        assert os.read(read, 1) + os.read(read, 1) == b"rr"
        pair.send([FRAME] * 20)
        counts = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) - 100 for each in children]
        assert sum(counts) == 20
        os.close(read)
        os.close(write)


def test_a_program_and_map_of_one_s_own(cable: VethPair) -> None:
    text = """
        .map mine, xskmap, key=u32, value=u32, max_entries=8
        .section xdp
        only_mine:
            r2 = *(u32 *)(r1 + xdp_md.data)
            r3 = *(u32 *)(r1 + xdp_md.data_end)
            r4 = r2
            r4 += 18
            w0 = XDP_PASS
            if r4 > r3 goto out
            r5 = *(u8 *)(r2 + 17)               # even numbers go to the socket, others pass
            w5 &= 1
            if w5 != 0 goto out
            r1 = mine ll
            r2 = 7
            r3 = XDP_DROP
            call bpf_redirect_map
        out:
            exit
    """
    with (
        ebpfasm.load(ebpfasm.assemble(text)) as live,
        live.programs["only_mine"].attach_xdp("veth0"),
        XskSocket.open("veth0", xskmap=live.maps["mine"], key=7) as xsk,
        cable.socket("near", receive=True) as stack,
    ):
        assert xsk.redirect is None
        stack.settimeout(SECOND)
        cable.send(numbered(4))
        assert [number(frame.data) for frame in xsk.frames(0.1)] == [0, 2]
        assert [number(stack.recv(2048)) for _ in range(2)] == [1, 3]
        with pytest.raises(LoadError, match="another XDP program is there already") as caught:
            XskSocket.open("veth0", umem=xsk.umem)
        assert caught.value.diagnostics[0].code == "xsk-program"
        assert "xskmap=" in str(caught.value)


def test_without_a_program_a_socket_sends(cable: VethPair) -> None:
    with (
        XskSocket.open("veth0", rx=False) as xsk,
        cable.socket("far", receive=True) as far,
    ):
        far.settimeout(SECOND)
        xsk.send(FRAME)
        assert far.recv(2048) == FRAME
        assert xsk.redirect is None
        with pytest.raises(LoadError) as caught:
            xsk.recv(0)
        assert caught.value.diagnostics[0].code == "xsk-ring"
    with XskSocket.open("veth0", tx=False) as xsk:
        with pytest.raises(LoadError, match="no ring for this direction"):
            xsk.send(FRAME)
        assert xsk.umem.census().user == 0


def test_what_came_with_later_kernels_is_named_where_it_lacks(cable: VethPair) -> None:
    for since, options in (
        ("5.11", {"busy_poll": BusyPoll(35, 16)}),
        ("6.6", {"multi_buffer": True}),
        ("6.11", {"umem": True}),
    ):
        with Umem(64, tx_metadata=True) as umem:
            given: dict[str, Any] = options | ({"umem": umem} if "umem" in options else {})
            if kernel_release() >= release_of(since):
                with XskSocket.open("veth0", rx_size=64, tx_size=64, **given) as xsk:
                    assert not xsk.closed
                continue
            with pytest.raises(NotSupported, match=f"Linux {since} has it") as caught:
                XskSocket.open("veth0", rx_size=64, tx_size=64, **given)
            assert caught.value.since == since


@pytest.mark.needs("busy polling of AF_XDP")
def test_options_reach_the_kernel(cable: VethPair) -> None:
    with XskSocket.open("veth0", need_wakeup=False, busy_poll=BusyPoll(35, 16)) as xsk:
        with socket.socket(44, socket.SOCK_RAW, 0, fileno=os.dup(xsk.fd)) as same:
            asked = [same.getsockopt(socket.SOL_SOCKET, option) for option in (69, 46)]
        assert asked == [1, 35]  # SO_PREFER_BUSY_POLL, SO_BUSY_POLL
        cable.send(numbered(5))
        assert [number(frame.data) for frame in xsk.frames(0.1)] == list(range(5))


@pytest.mark.parametrize(
    ("options", "offset"),
    [
        ({"headroom": 100}, 356),
        ({"frame_size": 2048}, 256),
        ({"frame_size": 3000, "unaligned": True, "headroom": 44}, 300),
    ],
)
def test_frames_of_every_shape(
    cable: VethPair, options: dict[str, int | bool], offset: int
) -> None:
    with (
        Umem(512, **options) as umem,  # type: ignore[arg-type]
        XskSocket.open("veth0", umem=umem, rx_size=256, tx_size=256) as xsk,
        cable.socket("far", receive=True) as far,
    ):
        far.settimeout(SECOND)
        for turn in range(4):  # more frames than there are
            cable.send(numbered(200))
            for i in range(200):
                with xsk.recv(SECOND) as frame:  # type: ignore[union-attr]
                    assert (number(frame.data), frame.headroom) == (i, offset), turn
                    if i % 50 == 0:
                        frame.send()
        xsk.drain(SECOND)
        assert xsk.counters().sent == 16
        assert umem.census().user == 0


def test_huge_pages(cable: VethPair) -> None:
    pages = Path("/proc/sys/vm/nr_hugepages")
    before = pages.read_text()
    try:
        pages.write_text("0")
        with pytest.raises(LoadError, match="huge pages") as caught:
            Umem(512, huge_pages=True)
        assert "vm.nr_hugepages=1" in str(caught.value)
        pages.write_text("2")
        if int(pages.read_text()) < 1:
            pytest.skip("this machine has no huge page to spare")
        with (
            Umem(512, huge_pages=True) as umem,
            XskSocket.open("veth0", umem=umem, rx_size=256, tx_size=256) as xsk,
        ):
            cable.send(numbered(3))
            assert [number(frame.data) for frame in xsk.frames(0.1)] == [0, 1, 2]
        del umem, xsk
        gc.collect()
    finally:
        pages.write_text(before)


@pytest.mark.needs("AF_XDP packets of several frames")
def test_packets_of_several_frames(cable: VethPair) -> None:
    for namespace, name in ((cable.near, "veth0"), (cable.far, "veth1")):
        with namespace.entered():
            subprocess.run(
                [find_tool("ip"), "link", "set", name, "mtu", "9000"],
                check=True,
                capture_output=True,
            )
    with (
        Umem(512, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx_size=256, tx_size=256, multi_buffer=True) as xsk,
        cable.socket("far", receive=True) as far,
    ):
        far.settimeout(SECOND)
        long = FRAME[:14] + bytes(i & 255 for i in range(5000))
        cable.send([FRAME, long, FRAME])
        assert [far.recv(1 << 16) for _ in range(3)] == [FRAME, long, FRAME]  # as they went out
        lengths = []
        for frame in xsk.frames(0.1):
            lengths.append((len(frame), len(frame.parts)))
            if len(frame) > 60:
                assert bytes(frame) == long
                frame.send()
        assert lengths == [(60, 1), (5014, 3), (60, 1)]
        assert far.recv(1 << 16) == long
        xsk.send(long[::-1])
        assert far.recv(1 << 16) == long[::-1]
        cable.send([long, long])
        first = xsk.recv(SECOND)
        assert first is not None
        with xsk.recv_batch(2, SECOND) as batch:
            assert (len(batch), batch.packets) == (3, 1)
        first.release()
        cable.send([long] * 5)
        assert xsk.echo(2, count=5, timeout=SECOND) == 5
        assert xsk.drain(SECOND)
        assert umem.census().user == 0
        assert umem.census().total == 512
        assert xsk.counters().received == 3 + 2 + 5


@pytest.mark.needs("metadata of AF_XDP frames")
def test_checksums_and_times_of_sending(cable: VethPair) -> None:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    with (
        Umem(512, tx_metadata="software") as umem,
        XskSocket.open("veth0", umem=umem, rx_size=256, tx_size=256, copy="copy") as xsk,
        cable.socket("far", receive=True) as far,
    ):
        far.settimeout(SECOND)
        right = bytes(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"odd"
        )  # fmt: skip
        pseudo = right[26:34] + bytes([0, 17]) + (11).to_bytes(2, "big")
        folded = sum(int.from_bytes(pseudo[i : i + 2], "big") for i in range(0, 12, 2))
        folded = (folded & 0xFFFF) + (folded >> 16)
        with xsk.alloc() as frame:
            frame.write(right[:40] + folded.to_bytes(2, "big") + right[42:])
            frame.request(checksum=(34, 6), timestamp=True)
            frame.send()
        assert far.recv(2048) == right
        xsk.send(FRAME)
        assert xsk.drain(SECOND)
        ((ticket, time),) = xsk.timestamps()
        assert ticket == 1
        assert time > 0
        assert xsk.timestamps() == []


def test_everything_is_given_back(cable: VethPair) -> None:
    with XskSocket.open("veth0"):
        pass
    before = descriptors()
    for _ in range(3):
        with XskSocket.open("veth0") as xsk:
            cable.send([FRAME])
            xsk.recv(SECOND).release()  # type: ignore[union-attr]
            assert descriptors() > before
        assert descriptors() == before
    with pytest.raises(LoadError):
        XskSocket.open("veth0", 99)
    assert descriptors() == before
