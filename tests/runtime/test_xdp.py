"""Attaching to real interfaces, with iproute2 and bpftool as the second readers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.links import BpfLink, Via
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.network.veth import VethPair
from tests.runtime.attaching import counting as counters
from tests.runtime.samples import (
    COUNT,
    attached_to,
    bpftool,
    counting,
    descriptors,
    interface,
    passing,
    reaches,
)
from tests.support import Job

pytestmark = [pytest.mark.kernel, pytest.mark.tool("ip")]

VIAS: list[Via] = ["link", "netlink"]
FRAME = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(46)  # a local experiment's type


@pytest.fixture
def cable() -> Iterator[VethPair]:
    """A veth pair, with the test's thread in the near end's namespace."""
    with VethPair() as pair, pair.near.entered():
        yield pair


@pytest.fixture
def live() -> Iterator[Collection]:
    with load(counting()) as collection:
        yield collection


@pytest.mark.parametrize("via", VIAS)
@pytest.mark.parametrize("mode", ["auto", "native", "generic"])
def test_frames_are_counted_exactly(cable: VethPair, via: Via, mode: str) -> None:
    with load(counting("percpu_array")) as live:
        program, counts = live.programs["count"], live.maps["counts"]
        with program.attach_xdp("veth0", mode, via=via) as link:  # type: ignore[arg-type]
            assert attached_to("veth0") == program.id == link.info().program_id
            assert cable.send([FRAME] * 100) == 100
            assert reaches(lambda: sum(counts[0]), 100) == 100
        assert attached_to("veth0") == 0
        with cable.socket("near", receive=True) as witness:
            witness.settimeout(10)
            cable.send([FRAME])
            assert witness.recv(2048) == FRAME
        assert sum(counts[0]) == 100


@pytest.mark.parametrize(("mode", "shown"), [("native", 1), ("generic", 2)])
def test_the_mode_is_the_one_asked_for(
    cable: VethPair, live: Collection, mode: str, shown: int
) -> None:
    with live.programs["count"].attach_xdp("veth0", mode):  # type: ignore[arg-type]
        assert interface("veth0")["xdp"]["mode"] == shown


@pytest.mark.tool("bpftool")
def test_bpftool_sees_the_link(cable: VethPair, live: Collection) -> None:
    with live.programs["count"].attach_xdp("veth0", via="link") as link:
        info = link.info()
        shown = bpftool("link", "show", "id", link.id)
        assert (shown["type"], shown["prog_id"]) == ("xdp", live.programs["count"].id)
        assert (info.type, info.program_id, info.id) == ("xdp", shown["prog_id"], shown["id"])
        assert info.ifindex == interface("veth0")["ifindex"]
    assert bpftool("link", "show", "id", info.id) is None
    with pytest.raises(ValueError, match="the link is detached"):
        link.info()


@pytest.mark.parametrize("via", VIAS)
def test_an_exception_in_the_block_detaches(cable: VethPair, live: Collection, via: Via) -> None:
    before = descriptors()
    link = live.programs["count"].attach_xdp("veth0", via=via)
    with pytest.raises(ZeroDivisionError), link:
        _ = attached_to("veth0") // 0
    assert attached_to("veth0") == 0
    assert descriptors() == before


@pytest.mark.parametrize("via", VIAS)
def test_a_link_outlives_its_names_and_its_program(cable: VethPair, via: Via) -> None:
    with load(counting()) as live:
        number = live.programs["count"].id
        link = live.programs["count"].attach_xdp("veth0", via=via)
    assert attached_to("veth0") == number
    with cable.far.entered():  # from whichever namespace it is detached
        link.detach()
    assert attached_to("veth0") == 0
    link.detach()


@pytest.mark.parametrize("first", VIAS)
@pytest.mark.parametrize("second", VIAS)
def test_a_busy_hook_is_one_plain_sentence(
    cable: VethPair, live: Collection, first: Via, second: Via
) -> None:
    program = live.programs["count"]
    with load(passing()) as other, other.programs["pass"].attach_xdp("veth0", via=first):
        before = descriptors()
        number = other.programs["pass"].id
        with pytest.raises(LoadError) as refusal:
            program.attach_xdp("veth0", via=second)
        assert descriptors() == before
        assert attached_to("veth0") == number
    assert refusal.value.errno in (errno.EBUSY, errno.EEXIST)
    (diagnostic,) = refusal.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "attach-failed",
        f"cannot attach 'count' to veth0: an XDP program is there already (id {number})",
        f"bpftool prog show id {number} tells which it is; "
        "detach it (ip link set veth0 xdp off ends one without a link)",
    )


def test_a_program_without_a_link_can_be_replaced(cable: VethPair, live: Collection) -> None:
    program = live.programs["count"]
    with load(passing()) as other:
        left_over = other.programs["pass"].attach_xdp("veth0", via="netlink")
        with program.attach_xdp("veth0", replace=True):
            assert attached_to("veth0") == program.id
            left_over.detach()  # it is not its program that is there
            assert attached_to("veth0") == program.id
        assert attached_to("veth0") == 0


def test_a_missing_interface_is_named_with_its_neighbour(cable: VethPair, live: Collection) -> None:
    with pytest.raises(LoadError) as refusal:
        live.programs["count"].attach_xdp("veht0")
    assert str(refusal.value) == (
        "error[interface-missing]: there is no network interface 'veht0'\n"
        "   hint: did you mean veth0?"
    )
    with pytest.raises(
        LoadError, match="no network interface 'zzz'\n   hint: there are: lo, veth0"
    ):
        live.programs["count"].attach_xdp("zzz")
    with pytest.raises(LoadError, match="no network interface with index 4711"):
        live.programs["count"].attach_xdp(4711)
    for odd in ("", "x" * 40, "a\0b"):
        with pytest.raises(LoadError, match="there is no network interface"):
            live.programs["count"].attach_xdp(odd)


def test_hardware_mode_is_not_what_a_veth_has(cable: VethPair, live: Collection) -> None:
    for via in VIAS:
        with pytest.raises(LoadError, match="it was not loaded for this interface's card"):
            live.programs["count"].attach_xdp("veth0", "offload", via=via)
        assert attached_to("veth0") == 0


@pytest.mark.parametrize("via", VIAS)
def test_a_forked_child_does_not_detach_its_parents_link(
    cable: VethPair, live: Collection, via: Via
) -> None:
    with live.programs["count"].attach_xdp("veth0", via=via) as link:
        child = os.fork()
        if child == 0:
            link.__exit__(None, None, None)
            os._exit(0 if link.closed else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert attached_to("veth0") == live.programs["count"].id


def test_detaching_does_not_wait_for_a_child_that_holds_the_link(
    cable: VethPair, live: Collection
) -> None:
    link = live.programs["count"].attach_xdp("veth0", via="link")
    assert isinstance(link, BpfLink)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent is done
        os._exit(0)
    os.close(read)
    link.detach()
    assert attached_to("veth0") == 0
    os.close(write)
    os.waitpid(child, 0)


WAITING = f"""
import signal, sys
from ebpfasm.asm import assemble
from ebpfasm.runtime.loader import load
via, how = sys.argv[1:]
with load(assemble({COUNT!r}.replace("{{type}}", "array"))) as live:
    link = live.programs["count"].attach_xdp("veth0", via=via)
    if how == "block":
        with link:
            print("attached", flush=True)
            signal.pause()
    print("attached", flush=True)
    if how == "forgotten":
        signal.pause()
"""


@pytest.mark.parametrize("via", VIAS)
@pytest.mark.parametrize("how", ["block", "forgotten", "end"])
def test_ctrl_c_and_the_end_of_the_process_detach(cable: VethPair, via: Via, how: str) -> None:
    command = [sys.executable, "-c", WAITING, via, how]
    with Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        assert job.stdout.readline() == "attached\n"
        if how != "end":
            assert attached_to("veth0")
            job.send_signal(signal.SIGINT)
        said = job.stderr.read()
    assert attached_to("veth0") == 0
    assert "Exception ignored" not in said
    assert ("KeyboardInterrupt" in said) == (how != "end")


def test_a_link_is_gone_with_a_killed_process(cable: VethPair) -> None:
    command = [sys.executable, "-c", WAITING, "link", "block"]
    with Job(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "attached\n"
        job.kill()
    # the kernel frees the link behind the process's end
    assert reaches(lambda: not attached_to("veth0"), 1)


@pytest.mark.parametrize("via", VIAS)
def test_an_interface_that_went_takes_the_program_along(live: Collection, via: Via) -> None:
    before = descriptors()
    with VethPair() as pair, pair.near.entered():
        link = live.programs["count"].attach_xdp("veth0", via=via)
        with link:
            subprocess.run(["ip", "link", "del", "veth0"], check=True)
    assert descriptors() == before


def test_modes_and_ways_are_spelled_right(live: Collection) -> None:
    with pytest.raises(
        ValueError, match="mode is one of auto, generic, native, offload, not 'skb'"
    ):
        live.programs["count"].attach_xdp("lo", "skb")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="via is auto, link or netlink, not 'tc'"):
        live.programs["count"].attach_xdp("lo", via="tc")  # type: ignore[arg-type]


@pytest.mark.parametrize("via", VIAS)
def test_an_attachment_changes_its_program(cable: VethPair, live: Collection, via: Via) -> None:
    count = live.programs["count"]
    with load(passing()) as other, other.programs["pass"].attach_xdp("veth0", via=via) as link:
        link.update(count)
        assert attached_to("veth0") == count.id == link.info().program_id
        link.update(other.programs["pass"], expected=count)
        assert attached_to("veth0") == other.programs["pass"].id
        with pytest.raises(LoadError, match="the program in place is another one"):
            link.update(count, expected=count)
        link.update(count)
    assert attached_to("veth0") == 0


def test_just_the_expected_program_is_replaced(cable: VethPair, live: Collection) -> None:
    count = live.programs["count"]
    with load(passing()) as other:
        left_over = other.programs["pass"].attach_xdp("veth0", via="netlink")
        with pytest.raises(LoadError, match="the program that it is to replace is not there"):
            count.attach_xdp("veth0", replace=count)
        assert attached_to("veth0") == other.programs["pass"].id
        with count.attach_xdp("veth0", replace=other.programs["pass"]) as link:
            assert (link.kind, attached_to("veth0")) == ("xdp-netlink", count.id)
        assert attached_to("veth0") == 0
        left_over.detach()


@pytest.mark.needs("xdp.frags on veth")
def test_only_a_program_for_fragments_takes_frames_larger_than_a_page(cable: VethPair) -> None:
    ip = ["ip", "link", "set"]
    subprocess.run([*ip, "veth0", "mtu", "9000"], check=True)
    with cable.far.entered():
        subprocess.run([*ip, "veth1", "mtu", "9000"], check=True)
    with counters("xdp", 2) as counter, pytest.raises(LoadError) as refusal:
        counter.program.attach("veth0", mode="native")
    assert refusal.value.errno in (errno.EINVAL, errno.ERANGE)
    with counters("xdp.frags", 2) as counter, counter.program.attach("veth0", mode="native"):
        assert cable.send([FRAME.ljust(8000, b"\0")] * 5) == 5
        assert reaches(lambda: counter.runs, 5) == 5


def test_a_program_for_the_elements_of_a_map_goes_to_no_interface(cable: VethPair) -> None:
    with (
        counters("xdp/devmap", 2) as counter,
        pytest.raises(LoadError, match="it is for the elements of a devmap: store it in the map"),
    ):
        counter.program.attach("veth0")


REDIRECT = """
.license "GPL"
.map targets, {type}, key=u32, value_size=8, max_entries=2
.section xdp
away:
    r1 = targets ll
    r2 = 0
    r3 = 0
    call bpf_redirect_map
    exit
"""


@pytest.mark.parametrize(("type", "section"), [("cpumap", "xdp/cpumap"), ("devmap", "xdp/devmap")])
def test_a_program_of_a_maps_element_runs_where_the_frame_goes(
    cable: VethPair, type: str, section: str
) -> None:
    text = REDIRECT.format(type=type)
    with (
        counters(section, 1) as counter,  # XDP_DROP
        counters("xdp", 2) as behind,
        load(assemble(text, name="away.s")) as live,
    ):
        targets = live.maps["targets"]
        targets[0] = (192 if type == "cpumap" else "veth0"), counter.program
        with cable.far.entered():  # a veth takes frames whose other end runs a program
            far = behind.program.attach_xdp("veth1", "native")
        with far, live.programs["away"].attach_xdp("veth0", "native"):
            assert cable.send([FRAME] * 50) == 50
            assert reaches(lambda: counter.runs, 50) == 50
        del targets[0]
