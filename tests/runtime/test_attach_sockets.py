"""Programs on sockets, groups of sockets, sockmaps and network namespaces."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.network.netns import Namespace
from ebpfasm.runtime.network.veth import VethPair
from tests.runtime.attaching import counting, judged
from tests.runtime.samples import descriptors, reaches
from tests.support import find_tool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


# Filters ---------------------------------------------------------------------------------------


def test_a_filter_counts_what_a_socket_receives() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other, counting("socket", 2) as counter:
        with counter.program.attach(other) as link:
            assert repr(link) == f"<Link socket-filter on socket {other.fileno()}, attached>"
            assert link.info().program_id == counter.program.id
            for _ in range(5):
                one.send(b"hello")
                assert other.recv(10) == b"he"  # the verdict is how many bytes stay
        one.send(b"hello")
        assert other.recv(10) == b"hello"
        assert counter.runs == 5


def test_a_filter_drops_what_a_raw_socket_would_see() -> None:
    with (
        VethPair() as cable,
        counting("socket", 0) as counter,
        cable.socket("near", receive=True) as witness,
        counter.program.attach_socket(witness),
    ):
        cable.send([bytes(12) + b"\x88\xb5" + bytes(46)] * 5)
        assert reaches(lambda: counter.runs, 5) == 5
        assert select.select([witness], [], [], 0) == ([], [], [])


def test_any_object_with_a_descriptor_is_a_socket() -> None:
    async def transported() -> int:
        loop = asyncio.get_running_loop()
        receiver, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        try:
            with (
                counting("socket", 0xFFFF) as counter,
                counter.program.attach(receiver.get_extra_info("socket")),
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            ):
                sender.sendto(b"x", receiver.get_extra_info("sockname"))
                return counter.runs
        finally:
            receiver.close()
            await asyncio.sleep(0)

    assert asyncio.run(transported()) == 1


def test_a_closed_socket_takes_the_filter_along() -> None:
    with counting("socket", 0) as counter:
        one, other = socket.socketpair()
        with counter.program.attach(other):
            one.close()
            other.close()
        with pytest.raises(LoadError, match="the socket is closed"):
            counter.program.attach(other)
        read, write = os.pipe()
        with (
            os.fdopen(read, "rb") as file,
            os.fdopen(write, "wb"),
            pytest.raises(LoadError, match="Socket operation on non-socket"),
        ):
            counter.program.attach(file)


def test_a_program_chooses_the_socket_of_a_group() -> None:
    with counting("socket", 1) as counter, group(3) as sockets:  # the second one
        with counter.program.attach_reuseport(sockets[0]) as link:
            assert link.kind == "reuseport"
            send_to(sockets[0], 5)
            assert counter.runs == 5
            assert [waiting(each) for each in sockets] == [0, 5, 0]
        send_to(sockets[0], 1)
        assert counter.runs == 5


def test_a_reuseport_program_drops_for_a_group() -> None:
    with counting("sk_reuseport", 0) as counter, group(2) as sockets:  # SK_DROP
        with counter.program.attach(sockets[1]) as link:
            assert link.kind == "reuseport"
            send_to(sockets[0], 5)
            assert counter.runs == 5
            assert [waiting(each) for each in sockets] == [0, 0]
        send_to(sockets[0], 1)
        assert sum(waiting(each) for each in sockets) == 1
    with (
        counting("sk_reuseport", 1) as counter,
        socket.socket() as alone,
        pytest.raises(LoadError, match="it has no SO_REUSEPORT"),
    ):
        counter.program.attach(alone)


class group:
    """Sockets that share a port."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> list[socket.socket]:
        self._sockets: list[socket.socket] = []
        port = 0
        for _ in range(self._count):
            each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", port))
            port = each.getsockname()[1]
        return self._sockets

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()


def send_to(target: socket.socket, times: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(times):
            sender.sendto(b"x", target.getsockname())


def waiting(each: socket.socket) -> int:
    """How many datagrams a socket holds; they are taken out."""
    count = 0
    while select.select([each], [], [], 0)[0]:
        each.recv(1)
        count += 1
    return count


# Sockmaps --------------------------------------------------------------------------------------

SOCKMAP = """
.license "GPL"
.map counts, array, key=u32, value=u64, max_entries=1
.map sockets, sockmap, key=u32, value=u32, max_entries=2
.section "{section}"
count:
    r6 = r1
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = {verdict}
    exit
"""


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    return one, other


VERDICT = pytest.param("sk_skb/verdict", marks=pytest.mark.needs("sk_skb/verdict"))
LINKED = pytest.param("link", marks=pytest.mark.needs("sockmap links"))


@pytest.mark.parametrize("via", [LINKED, "attach"])
@pytest.mark.parametrize("section", ["sk_msg", "sk_skb/stream_verdict", VERDICT])
def test_a_sockmap_runs_a_program_for_its_sockets(section: str, via: str) -> None:
    text = SOCKMAP.format(section=section, verdict=1)  # SK_PASS
    one, other = connected()
    with one, other, load(assemble(text, name="sockmap.s")) as live:
        program, counts = live.programs["count"], live.maps["counts"]
        with program.attach(live.maps["sockets"], via=via) as link:
            live.maps["sockets"][0] = (one if section == "sk_msg" else other).fileno()
            if via == "link":
                assert judged(link) == ("sockmap", program.id)
                assert link.info().details["map_id"] == live.maps["sockets"].id
            assert link.info().program_id == program.id
            one.send(b"hello")
            assert other.recv(10) == b"hello"
            assert counts[0] >= 1
        counted = counts[0]
        del live.maps["sockets"][0]  # until then it keeps the program
        one.send(b"again")
        assert other.recv(10) == b"again"
        assert counts[0] == counted
        with pytest.raises(LoadError, match="it is no sockmap or sockhash"):
            program.attach_sockmap(counts)


def test_a_parser_says_where_messages_end() -> None:
    length = "*(u32 *)(r6 + __sk_buff.len)"  # all that is there is one message
    parser = assemble(SOCKMAP.format(section="sk_skb/stream_parser", verdict=length), name="p.s")
    verdict = assemble(SOCKMAP.format(section="sk_skb/stream_verdict", verdict=1), name="v.s")
    one, other = connected()
    with one, other, load(parser) as first:
        sockets = first.maps["sockets"]
        with load(verdict, maps={"sockets": sockets}) as second:
            with (
                first.programs["count"].attach(sockets, via="attach") as link,
                second.programs["count"].attach(sockets, via="attach"),
            ):
                assert link.info().details["attach_type"] == "sk_skb_stream_parser"
                sockets[0] = other.fileno()
                one.send(b"hello")
                assert other.recv(10) == b"hello"
                assert first.maps["counts"][0] >= 1
                assert second.maps["counts"][0] >= 1
            del sockets[0]


@pytest.mark.needs("migration of requests")
def test_a_program_sends_on_the_connections_of_a_socket_that_closes() -> None:
    with counting("sk_reuseport/migrate", 1) as counter, ExitStack() as opened:
        servers = [opened.enter_context(socket.socket()) for _ in range(2)]
        for each in servers:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", servers[0].getsockname()[1] if each is servers[1] else 0))
            each.listen()
        with counter.program.attach_reuseport(servers[0]):
            opened.enter_context(socket.create_connection(servers[0].getsockname()))
            (ready,) = select.select(servers, [], [], 10)[0]
            before = counter.runs
            ready.close()  # without having accepted it
            (other,) = (each for each in servers if each is not ready)
            assert select.select([other], [], [], 10)[0] == [other]
            other.accept()[0].close()
            assert counter.runs == before + 1


# Network namespaces ----------------------------------------------------------------------------


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with VethPair(near_addresses=["10.0.0.1/24"], far_addresses=["10.0.0.2/24"]) as pair:
        yield pair.near


def test_a_lookup_of_sockets_runs_in_a_namespace(namespace: Namespace) -> None:
    with namespace.entered():
        wake()
    with counting("sk_lookup", 1) as counter:
        with counter.program.attach(namespace) as link:
            assert judged(link) == ("netns", counter.program.id)
            assert link.info().details["attach_type"] == "sk_lookup"
            assert link.info().details["netns_ino"] == os.fstat(namespace.fd).st_ino
            with namespace.entered():
                knock()
            assert counter.runs == 1
        with namespace.entered(), counter.program.attach():
            knock()
            assert counter.runs == 2
        with namespace.entered():
            knock()
        assert counter.runs == 2


def test_a_lookup_may_refuse(namespace: Namespace) -> None:
    with counting("sk_lookup", 0) as counter, namespace.entered():
        wake()
        with counter.program.attach(f"/proc/thread-self/fd/{namespace.fd}"):
            knock()
            assert counter.runs == 1
        with pytest.raises(LoadError, match="no namespace '/no/such'"):
            counter.program.attach_netns("/no/such")


def wake() -> None:
    """Bring the loopback interface of this namespace up."""
    from ebpfasm.runtime.network.netlink import with_netlink

    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        with_netlink(lambda netlink: netlink.link("set", index=1, state="up"), namespace=fd)
    finally:
        os.close(fd)


def knock() -> None:
    """Ask for a connection that nobody takes."""
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", 9))


def test_a_flow_dissector_stands_alone_in_its_namespace(namespace: Namespace) -> None:
    with counting("flow_dissector", 0) as counter, counting("flow_dissector", 0) as other:
        with counter.program.attach(namespace) as link:
            assert judged(link) == ("netns", counter.program.id)
            assert link.info().details["attach_type"] == "flow_dissector"
            with namespace.entered():
                command = [find_tool("bpftool"), "net", "show"]  # its JSON is broken here
                said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            assert f"id {counter.program.id}\n" in said.partition("flow_dissector:")[2]
            with pytest.raises(LoadError, match="another program is there") as refusal:
                other.program.attach(namespace)
            assert refusal.value.errno == errno.E2BIG
            link.update(other.program)
            assert link.info().program_id == other.program.id
        with other.program.attach_netns(namespace.fd):
            pass
