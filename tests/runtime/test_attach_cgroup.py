"""Cgroups: every hook, by links and without, in a cgroup of the test's own."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpfasm.errors import LoadError
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime.links import Link
from tests import kernel
from tests.runtime.attaching import counting, judged
from tests.runtime.samples import descriptors

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]


def inside(cgroup: Path, act: Callable[[], object]) -> int:
    """Do something in a child that is in the cgroup: 0, or the errno of what it raised."""
    child = os.fork()
    if child == 0:
        number = 255
        try:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            act()
            number = 0
        except OSError as problem:
            number = problem.errno or 254
        finally:
            os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def shown(cgroup: Path, name: str = "cgroup_inet4_connect") -> list[int]:
    """The programs on a hook of a cgroup, in their order, by BPF_PROG_QUERY."""
    ids = (ctypes.c_uint32 * 64)()
    fd = os.open(cgroup, os.O_RDONLY)
    with kernel.closing(fd):
        number = ATTACH_TYPES.by_name[name].id
        place = ctypes.addressof(ids)
        # Kernels from 6.16 write a revision behind what is asked, however long that is.
        asked = struct.pack("=IIIIQI36x", fd, number, 0, 0, place, len(ids))
        _, answer = kernel.call(PROG_QUERY, asked)
    return list(ids[: struct.unpack_from("=I", answer, 24)[0]])


PROG_QUERY = 16


def udp(family: int = socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


def connect() -> None:
    with udp() as each:
        each.connect(("127.0.0.1", 9))


def connect6() -> None:
    with udp(socket.AF_INET6) as each:
        each.connect(("::1", 9))


def bind() -> None:
    with udp() as each:
        each.bind(("127.0.0.1", 0))


def bind6() -> None:
    with udp(socket.AF_INET6) as each:
        each.bind(("::1", 0))


def send() -> None:
    with udp() as one, udp() as other:
        other.bind(("127.0.0.1", 0))
        one.sendto(b"x", other.getsockname())
        other.recvfrom(1)


def send6() -> None:
    with udp(socket.AF_INET6) as one, udp(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        one.sendto(b"x", other.getsockname())
        other.recvfrom(1)


def names() -> None:
    with udp() as each:
        each.connect(("127.0.0.1", 9))
        each.getpeername()
        each.getsockname()


def names6() -> None:
    with udp(socket.AF_INET6) as each:
        each.connect(("::1", 9))
        each.getpeername()
        each.getsockname()


def options() -> None:
    with udp() as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def stream() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def local() -> None:
    here = b"\0ebpfasm-%d" % os.getpid()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        other.bind(here)
        one.sendto(b"x", here)
        other.recvfrom(1)
        one.connect(here)
        one.getpeername()
        other.getsockname()


def read() -> None:
    Path("/proc/sys/kernel/osrelease").read_text()


def device() -> None:
    Path("/dev/null").open().close()


UNIX = pytest.mark.needs("unix sockets in cgroups")

# What sets each hook off, and what its program returns to let it be.
HOOKS = [
    ("cgroup_skb/ingress", 1, send), ("cgroup_skb/egress", 1, send),
    ("cgroup/sock_create", 1, bind), ("cgroup/sock_release", 1, bind), ("cgroup/sock", 1, bind),
    ("cgroup/post_bind4", 1, bind), ("cgroup/post_bind6", 1, bind6),
    ("cgroup/bind4", 1, bind), ("cgroup/bind6", 1, bind6),
    ("cgroup/connect4", 1, connect), ("cgroup/connect6", 1, connect6),
    ("cgroup/sendmsg4", 1, send), ("cgroup/sendmsg6", 1, send6),
    ("cgroup/recvmsg4", 1, send), ("cgroup/recvmsg6", 1, send6),
    ("cgroup/getpeername4", 1, names), ("cgroup/getpeername6", 1, names6),
    ("cgroup/getsockname4", 1, names), ("cgroup/getsockname6", 1, names6),
    ("cgroup/getsockopt", 1, options), ("cgroup/setsockopt", 1, options),
    ("cgroup/sysctl", 1, read), ("cgroup/dev", 1, device), ("sockops", 1, stream),
    *(
        pytest.param(f"cgroup/{each}_unix", 1, local, marks=UNIX)
        for each in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "verdict", "act"), HOOKS)
def test_every_hook_of_a_cgroup_is_set_off(
    cgroup: Path, section: str, verdict: int, act: Callable[[], object]
) -> None:
    before = descriptors()
    with counting(section, verdict) as counter:
        with counter.program.attach(cgroup) as link:
            assert link.kind == "cgroup"
            assert judged(link) == ("cgroup", counter.program.id)
            details = link.info().details
            assert details["attach_type"] == counter.program.spec.attach_type
            assert details["cgroup_id"] == cgroup.stat().st_ino
            assert shown(cgroup, counter.program.spec.attach_type) == [counter.program.id]
            assert inside(cgroup, act) == 0
            counted = counter.runs
        assert counted >= 1
        assert inside(cgroup, act) == 0
        assert shown(cgroup, counter.program.spec.attach_type) == []
        assert counter.runs == counted
    assert descriptors() == before


@pytest.mark.parametrize(
    ("word", "name"), [("ingress", "cgroup_inet_ingress"), ("egress", "cgroup_inet_egress")]
)
def test_a_section_without_a_direction_is_given_one(cgroup: Path, word: str, name: str) -> None:
    with counting("cgroup/skb", 1) as counter:
        with pytest.raises(LoadError, match="does not say to which hook of a cgroup"):
            counter.program.attach(cgroup)
        with counter.program.attach(cgroup, attach_type=word) as link:
            assert link.info().details["attach_type"] == f"cgroup_inet_{word}"
            assert inside(cgroup, send) == 0
        assert counter.runs == 1


@pytest.mark.parametrize("via", ["link", "attach"])
def test_a_verdict_is_obeyed_until_the_program_is_off(cgroup: Path, via: str) -> None:
    with counting("cgroup/connect4", 0) as counter:
        with counter.program.attach_cgroup(cgroup, via=via) as link:  # type: ignore[arg-type]
            assert link.kind == ("cgroup" if via == "link" else "cgroup-attach")
            assert inside(cgroup, connect) == errno.EPERM
            assert link.info().program_id == counter.program.id
            assert len(shown(cgroup)) == 1
        assert inside(cgroup, connect) == 0
        assert shown(cgroup) == []


@pytest.mark.parametrize("via", ["link", "attach"])
def test_a_program_takes_the_place_of_another(cgroup: Path, via: str) -> None:
    with counting("cgroup/connect4", 0) as no, counting("cgroup/connect4", 1) as yes:
        with no.program.attach_cgroup(cgroup, via=via) as link:  # type: ignore[arg-type]
            link.update(yes.program)
            assert inside(cgroup, connect) == 0
            link.update(no.program, expected=yes.program)
            with pytest.raises(LoadError, match="the program in place is another one"):
                link.update(yes.program, expected=yes.program)
            assert inside(cgroup, connect) == errno.EPERM
            assert shown(cgroup) == [no.program.id]
        assert shown(cgroup) == []


def test_programs_that_stay_alone_say_so(cgroup: Path) -> None:
    below = cgroup / "below"
    below.mkdir()
    with counting("cgroup/connect4", 1) as one, counting("cgroup/connect4", 1) as two:
        with one.program.attach_cgroup(cgroup, sharing="exclusive") as link:
            assert link.kind == "cgroup-attach"
            with pytest.raises(LoadError, match="a program that must stay alone is there"):
                two.program.attach_cgroup(below, sharing="exclusive")
            with pytest.raises(LoadError, match="a program that must stay alone is there"):
                two.program.attach_cgroup(cgroup)
        with one.program.attach_cgroup(cgroup, sharing="override"):
            with two.program.attach_cgroup(below, sharing="override"):
                assert inside(below, connect) == 0
            assert (one.runs, two.runs) == (0, 1)
            assert inside(below, connect) == 0
            assert (one.runs, two.runs) == (1, 1)


def test_one_of_several_programs_is_replaced(cgroup: Path) -> None:
    with counting("cgroup/connect4", 1) as one, counting("cgroup/connect4", 1) as two:
        left = one.program.attach_cgroup(cgroup, via="attach")
        with two.program.attach_cgroup(cgroup, replace=one.program):
            assert shown(cgroup) == [two.program.id]
            left.detach()  # what was replaced is off already
            assert shown(cgroup) == [two.program.id]
        assert shown(cgroup) == []


@pytest.mark.needs("order in cgroups")
def test_programs_are_put_in_order(cgroup: Path) -> None:
    with (
        counting("cgroup/connect4", 1) as one,
        counting("cgroup/connect4", 1) as two,
        counting("cgroup/connect4", 1) as three,
        one.program.attach(cgroup) as first,
        two.program.attach(cgroup, before=first),
        three.program.attach(cgroup, after="all"),
    ):
        wanted = [each.program.id for each in (two, one, three)]
        assert shown(cgroup) == wanted


@pytest.mark.needs("lsm_cgroup")
def test_a_security_hook_is_attached_to_a_cgroup(cgroup: Path) -> None:
    with counting("lsm_cgroup/socket_create", 0) as counter:
        with counter.program.attach(cgroup) as link:
            assert judged(link) == ("cgroup", counter.program.id)
            assert inside(cgroup, connect) == errno.EPERM
        assert inside(cgroup, connect) == 0


def test_what_is_no_cgroup_is_said_in_words(cgroup: Path, tmp_path: Path) -> None:
    with counting("cgroup/connect4", 1) as counter:
        with pytest.raises(LoadError, match=r"no cgroup .*: No such file or directory \(ENOENT\)"):
            counter.program.attach(cgroup / "no")
        with pytest.raises(LoadError, match="it is no cgroup of version 2"):
            counter.program.attach(tmp_path)
        with pytest.raises(LoadError, match="to which cgroup"):
            counter.program.attach()
        with pytest.raises(
            LoadError, match="it was loaded for cgroup_inet4_connect, not cgroup_inet6"
        ):
            counter.program.attach(cgroup, attach_type="cgroup_inet6_connect")
        with pytest.raises(ValueError, match="via is auto, link or attach"):
            counter.program.attach_cgroup(cgroup, via="netlink")  # type: ignore[arg-type]


@pytest.mark.parametrize("via", ["link", "attach"])
def test_a_link_outlives_the_program_and_the_descriptor(cgroup: Path, via: str) -> None:
    fd = os.open(cgroup, os.O_RDONLY)
    with counting("cgroup/connect4", 0) as counter:
        link: Link = counter.program.attach_cgroup(fd, via=via)  # type: ignore[arg-type]
    os.close(fd)
    assert inside(cgroup, connect) == errno.EPERM
    link.detach()
    assert inside(cgroup, connect) == 0
