"""tc, netkit, netfilter and routes, with real packets over a veth pair."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.runtime.network.netns import Namespace
from ebpfasm.runtime.network.veth import VethPair
from tests.runtime.attaching import counting, judged
from tests.runtime.samples import bpftool, descriptors, interface, reaches
from tests.support import find_tool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool"), pytest.mark.tool("ip")]

OK = 0  # TC_ACT_OK
TCX = pytest.param("tcx", marks=pytest.mark.needs("tcx"))


@pytest.fixture
def cable() -> Iterator[VethPair]:
    """A veth pair with addresses, with the test's thread in the near end's namespace."""
    before = descriptors()
    with (
        VethPair(near_addresses=["10.0.0.1/24"], far_addresses=["10.0.0.2/24"]) as pair,
        pair.near.entered(),
    ):
        know_each_other(pair)
        yield pair
    assert descriptors() == before


def know_each_other(pair: VethPair) -> None:
    """Have both ends know the other's address for good, so that nobody ever asks for it."""
    near = interface("veth0")["address"]
    with pair.far.entered():
        far = interface("veth1")["address"]
        neighbour("10.0.0.1", near, "veth1")
    neighbour("10.0.0.2", far, "veth0")


def neighbour(address: str, hardware: str, name: str) -> None:
    command = [find_tool("ip"), "neigh", "replace", address, "lladdr", hardware, "dev", name]
    subprocess.run([*command, "nud", "permanent"], check=True)


def ping(times: int = 1, address: str = "10.0.0.2") -> bool:
    """Whether an echo comes back for each request."""
    command = [find_tool("ping"), "-q", "-c", str(times), "-i", "0.01", "-W", "5", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def on_interface() -> list[tuple[str, int]]:
    """What bpftool finds in traffic control on the interfaces here."""
    found = bpftool("net", "show")[0]["tc"]
    return [(each["kind"], each.get("prog_id", each.get("id"))) for each in found]


def qdiscs(name: str = "veth0") -> list[str]:
    command = [find_tool("tc"), "-json", "qdisc", "show", "dev", name]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    return [each["kind"] for each in json.loads(said)]


def filters(parent: str) -> list[dict[str, Any]]:
    command = [find_tool("tc"), "-json", "filter", "show", "dev", "veth0", parent]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    return [each for each in json.loads(said) if "options" in each]


# Traffic control -------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("via", [TCX, "clsact"])
def test_packets_are_counted_on_their_way(cable: VethPair, via: str, direction: str) -> None:
    with counting("tc", OK) as counter:
        with counter.program.attach("veth0", direction=direction, via=via) as link:
            assert link.kind == via
            assert link.info().program_id == counter.program.id
            assert link.info().ifindex == 100
            assert ping(5)
            assert reaches(lambda: counter.runs, 5) == 5
            if via == "tcx":
                assert judged(link) == ("tcx", counter.program.id)
                assert link.info().details["attach_type"] == f"tcx_{direction}"
            else:
                assert [number for _, number in on_interface()] == [counter.program.id]
                assert [each["pref"] for each in filters(direction)] == [1]
        assert ping(3)
        assert counter.runs == 5
        assert qdiscs() == ["noqueue"]


@pytest.mark.parametrize("section", ["tc/egress", "tcx/egress"])
@pytest.mark.needs("tcx")
def test_the_section_tells_the_direction(cable: VethPair, section: str) -> None:
    with counting(section, OK) as counter, counter.program.attach("veth0") as link:
        assert repr(link) == "<Link tcx on veth0 egress, attached>"
        assert ping()
        assert counter.runs >= 1


def test_a_link_is_had_wherever_the_kernel_is(cable: VethPair) -> None:
    with counting("tc", OK) as counter, counter.program.attach_tc("veth0") as link:
        assert link.kind in ("tcx", "clsact")
        assert ping()
        assert counter.runs >= 1


@pytest.mark.needs("tcx")
def test_links_are_put_in_order(cable: VethPair) -> None:
    with (
        counting("tc", -1) as one,
        counting("tc", -1) as two,
        counting("tc", OK) as last,
        counting("tc", 2) as drop,
        one.program.attach_tc("veth0", "egress") as first,
        two.program.attach_tc("veth0", "egress", before=first),
        last.program.attach_tc("veth0", "egress", after="all"),
        drop.program.attach_tc("veth0", "egress", after=last.program),
    ):
        assert ping()
        assert (one.runs, two.runs, last.runs, drop.runs) == (one.runs,) * 3 + (0,)
        with drop.program.attach_tc("veth0", "ingress", before="all"):
            assert drop.runs == 0
        with pytest.raises(LoadError, match="the program or link that it is to stand beside"):
            one.program.attach_tc("veth0", "ingress", before=two.program)
    with pytest.raises(ValueError, match="give before or after, not both"):
        one.program.attach_tc("veth0", before="all", after="all")


@pytest.mark.needs("tcx")
def test_a_link_changes_its_program(cable: VethPair) -> None:
    with (
        counting("tc", OK) as one,
        counting("tc", OK) as two,
        one.program.attach_tc("veth0", "egress") as link,
    ):
        link.update(two.program, expected=one.program)
        assert link.info().program_id == two.program.id
        with pytest.raises(LoadError, match="the program in place is another one"):
            link.update(one.program, expected=one.program)
        assert ping()
        assert (one.runs, two.runs > 0) == (0, True)


def test_filters_keep_their_priority_and_leave_others_alone(cable: VethPair) -> None:
    with counting("tc", -1) as one, counting("tc", OK) as two, counting("tc", OK) as three:
        first = one.program.attach_tc("veth0", "egress", via="clsact")
        with two.program.attach_tc("veth0", "egress", via="clsact") as second:
            assert second.info().details == {"direction": "egress", "priority": 2, "handle": 1}
            with three.program.attach_tc("veth0", "egress", priority=7):
                assert [each["pref"] for each in filters("egress")] == [1, 2, 7]
            with pytest.raises(LoadError, match="there is a filter with the priority 1"):
                three.program.attach_tc("veth0", "egress", priority=1)
            assert ping(2)
            assert (one.runs, two.runs, three.runs) == (2, 2, 0)
            first.detach()  # the qdisc is needed still
            assert [each["pref"] for each in filters("egress")] == [2]
            second.update(three.program)
            assert [number for _, number in on_interface()] == [three.program.id]
            assert ping()
            assert (two.runs, three.runs) == (2, 1)
            with pytest.raises(NotSupported, match="comparing the program in a clsact filter"):
                second.update(two.program, expected=three.program)
        assert filters("egress") == []


def test_a_qdisc_of_others_stays(cable: VethPair) -> None:
    subprocess.run([find_tool("tc"), "qdisc", "add", "dev", "veth0", "clsact"], check=True)
    with counting("tc", OK) as counter:
        with counter.program.attach_tc("veth0", via="clsact"):
            assert len(filters("ingress")) == 1
        assert filters("ingress") == []
        assert "clsact" in qdiscs()


def test_an_exception_and_another_namespace_detach_filters(cable: VethPair) -> None:
    with counting("tc", OK) as counter:
        link = counter.program.attach_tc("veth0", via="clsact")
        with pytest.raises(ZeroDivisionError), cable.far.entered(), link:
            _ = 1 // 0
        assert qdiscs() == ["noqueue"]
        with counter.program.attach_tc("veth0", via="clsact"):
            subprocess.run([find_tool("ip"), "link", "del", "veth0"], check=True)


def test_wrong_interfaces_and_words_are_told(cable: VethPair) -> None:
    with counting("tc", OK) as counter:
        with pytest.raises(LoadError, match="did you mean veth0"):
            counter.program.attach("veht0")
        with pytest.raises(LoadError, match="to which interface"):
            counter.program.attach()
        with pytest.raises(ValueError, match="direction is ingress or egress, not 'in'"):
            counter.program.attach_tc("veth0", "in")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a priority is for clsact"):
            counter.program.attach_tc("veth0", before="all", priority=1)
    with (
        counting("xdp", 2) as counter,
        pytest.raises(LoadError, match="it is of type xdp, not sched_cls"),
    ):
        counter.program.attach_tc("veth0")


@pytest.mark.needs("netkit")
@pytest.mark.parametrize("end", ["primary", "peer"])
def test_a_netkit_device_runs_a_program_at_either_end(end: str) -> None:
    ip = find_tool("ip")
    with Namespace() as namespace, namespace.entered():
        subprocess.run([ip, "link", "add", "kit0", "type", "netkit"], check=True)
        peer = next(each for each in links_here() if each.startswith("nk"))
        for each in ("kit0", peer):
            subprocess.run([ip, "link", "set", each, "up"], check=True)
        with counting(f"netkit/{end}", OK) as counter:
            with counter.program.attach("kit0") as link:
                assert judged(link) == ("netkit", counter.program.id)
                assert link.info().details["attach_type"] == f"netkit_{end}"
                send_from("kit0" if end == "primary" else peer)
                assert reaches(lambda: counter.runs, 1) >= 1
            with pytest.raises(LoadError, match="it is no netkit device"):
                counter.program.attach("lo")


def links_here() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def send_from(name: str) -> None:
    """Send a frame from an interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((name, 0))
        raw.send(b"\xff" * 6 + bytes(6) + b"\x88\xb5" + bytes(46))


# Netfilter -------------------------------------------------------------------------------------


@pytest.mark.needs("netfilter links")
@pytest.mark.parametrize(
    ("hook", "number"), [("local_in", 1), ("local_out", 3), ("pre_routing", 0), ("post_routing", 4)]
)
def test_a_netfilter_hook_counts_packets(cable: VethPair, hook: str, number: int) -> None:
    with counting("netfilter", 1) as counter:
        with counter.program.attach(hook, priority=-5) as link:
            assert ping(5)
            assert judged(link) == ("netfilter", counter.program.id)
            assert link.info().details == {"pf": 2, "hooknum": number, "priority": -5, "flags": 0}
            assert counter.runs == 5
            with pytest.raises(LoadError, match="another program has this priority there"):
                counter.program.attach_netfilter(hook=hook, priority=-5)
        assert ping()
        assert counter.runs == 5


@pytest.mark.needs("netfilter links")
def test_a_netfilter_hook_drops_packets(cable: VethPair) -> None:
    with counting("netfilter", 0) as counter:
        with counter.program.attach_netfilter(hook="local_out", priority=1, defragment=False):
            assert subprocess.run(
                [find_tool("ping"), "-c", "1", "-W", "1", "10.0.0.2"],
                capture_output=True, check=False,
            ).returncode != 0  # fmt: skip
        assert ping()
        with pytest.raises(ValueError, match="hook is one of pre_routing"):
            counter.program.attach_netfilter(hook="in")
        with pytest.raises(ValueError, match="family is ipv4 or ipv6"):
            counter.program.attach_netfilter("arp")  # type: ignore[arg-type]


# Routes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["lwt_out", "lwt_xmit"])
def test_a_route_runs_a_program_on_what_it_sends(cable: VethPair, section: str) -> None:
    subprocess.run([find_tool("ip"), "route", "del", "10.0.0.0/24"], check=True)
    with counting(section, 0) as counter:
        with counter.program.attach("10.0.0.0/24", iface="veth0", headroom=14) as link:
            assert (link.kind, link.info().program_id) == ("route", counter.program.id)
            assert "encap bpf" in routes()
            with pytest.raises(LoadError, match="there is such a route already"):
                counter.program.attach_route("10.0.0.0/24", "veth0")
            assert ping(5)
            assert counter.runs == 5
        assert routes() == ""
        assert not ping()


def test_a_route_runs_a_program_on_what_it_takes(cable: VethPair) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with cable.far.entered():
        command = [find_tool("ip"), "route", "add", "10.9.0.0/24", "via", "10.0.0.1"]
        subprocess.run(command, check=True)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, counting("lwt_in", 0) as counter:
        with counter.program.attach("10.9.0.0/24", iface="veth0", table=254):
            for _ in range(5):
                sender.sendto(b"x", ("10.9.0.1", 9))
            assert reaches(lambda: counter.runs, 5) == 5
        assert "10.9" not in routes()


def routes() -> str:
    command = [find_tool("ip"), "route", "show"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_a_segment_of_a_route_runs_a_program() -> None:
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
    from scapy.layers.l2 import Ether

    with (
        VethPair(near_addresses=["fd00::1/64"], far_addresses=["fd00::2/64"]) as pair,
        pair.near.entered(),
        counting("lwt_seg6local", 2) as counter,  # BPF_DROP
    ):
        for place in ("all", "veth0"):
            Path(f"/proc/sys/net/ipv6/conf/{place}/seg6_enabled").write_text("1")
        head = IPv6ExtHdrSegmentRouting(segleft=1, lastentry=1, addresses=["fd00::2", "fd01::1"])
        packet = IPv6(src="fd00::2", dst="fd01::1") / head / UDP(dport=9) / b"x"
        frame = bytes(Ether(dst=interface("veth0")["address"]) / packet)
        with counter.program.attach("fd01::1/128", iface="veth0") as link:
            assert link.where == "route to fd01::1/128 by veth0"
            pair.send([frame] * 5)
            assert reaches(lambda: counter.runs, 5) == 5
        pair.send([frame])
        assert counter.runs == 5


def test_wrong_routes_are_told(cable: VethPair) -> None:
    with counting("lwt_xmit", 0) as counter:
        with pytest.raises(LoadError, match=r"'10\.0\.0\.1/8' is no network"):
            counter.program.attach_route("10.0.0.1/8", "veth0")
        with pytest.raises(LoadError, match="to which destination"):
            counter.program.attach(iface="veth0")
    with (
        counting("lwt_seg6local", 0) as counter,
        pytest.raises(LoadError, match="segment routing is for IPv6 destinations"),
    ):
        counter.program.attach("10.9.0.0/24", iface="veth0")
