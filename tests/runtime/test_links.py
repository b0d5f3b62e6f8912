"""The rule of links: what ends them, and what does not."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.runtime import links
from ebpfasm.runtime.links import Link
from ebpfasm.runtime.programs import Program
from tests.runtime.attaching import CALL, call, counting
from tests.runtime.samples import bpftool, descriptors, reaches
from tests.support import Job

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]

SECTION = "raw_tp/sys_enter"
TRACED = f"tp/syscalls/sys_enter_{CALL}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for pins."""
    made = Path(tempfile.mkdtemp(prefix="ebpfasm_test_", dir="/sys/fs/bpf"))
    yield made
    if made.exists():  # folders go with the last pin in them
        for each in made.iterdir():
            each.unlink()
        made.rmdir()


def there(number: int) -> bool:
    """Whether bpftool finds a link."""
    return bpftool("link", "show", "id", number) is not None


def test_dropping_the_last_name_changes_nothing() -> None:
    with counting(TRACED) as counter:
        counter.program.attach()
        gc.collect()
        call(5)
        assert counter.runs == 5
        (link,) = links._open
        assert link.where == f"tracepoint syscalls/sys_enter_{CALL}"
        link.detach()
        call()
        assert counter.runs == 5


def test_an_exception_detaches_and_closing_does() -> None:
    before = descriptors()
    with counting(TRACED) as counter:
        with pytest.raises(ZeroDivisionError), counter.program.attach():
            _ = 1 // 0
        counter.program.attach().close()
        call()
        assert counter.runs == 0
    assert descriptors() == before
    assert not links._open


@pytest.mark.parametrize("section", [SECTION, "cgroup/connect4"])
def test_a_pinned_link_outlives_its_block(section: str, folder: Path, cgroup: Path) -> None:
    pin = folder / "deep" / "link"
    target = None if section == SECTION else cgroup
    with counting(section, 1) as counter:
        with counter.program.attach(target) as link:
            number = link.id
            link.pin(pin)
            assert repr(link).endswith(", pinned>")
        assert link.closed
        assert there(number)
        with Link.open(pin) as again:
            assert (again.id, again.kind) == (number, link.kind)
            assert again.info().program_id == counter.program.id
        assert there(number)
        with Link.open(pin) as again:
            again.detach()
        assert not there(number)
        assert not pin.parent.exists()


def test_a_pin_can_be_taken_back(folder: Path) -> None:
    with counting(SECTION) as counter:
        with counter.program.attach() as link:
            number = link.id
            link.pin(folder / "link")
            link.unpin()
            assert there(number)
            with pytest.raises(LoadError, match="it is not pinned"):
                link.unpin()
        assert not there(number)
        with pytest.raises(ValueError, match="the link is detached"):
            link.pin(folder / "link")


def test_a_link_has_one_pin(folder: Path) -> None:
    with counting(SECTION) as counter, counter.program.attach() as link:
        link.pin(folder / "link")
        with pytest.raises(LoadError, match=r"pinned to .* already") as refusal:
            link.pin(folder / "other")
        assert refusal.value.errno == errno.EEXIST
        assert not (folder / "other").exists()
        link.unpin()
        assert not (folder / "link").exists()
        link.pin(folder / "other")
        link.unpin()


def test_a_program_of_another_type_takes_no_others_place(cgroup: Path) -> None:
    with (
        counting("cgroup_skb/egress", 1) as counter,
        counting("cgroup/connect4", 1) as other,
        counter.program.attach(cgroup, via="link") as link,
    ):
        with pytest.raises(LoadError, match="of another type, or was loaded for another hook"):
            link.update(other.program)
        assert link.info().program_id == counter.program.id


def test_a_link_found_by_its_id_is_left_alone() -> None:
    with counting(SECTION) as counter, counter.program.attach() as link:
        number = link.id
        assert number in set(Link.ids())
        with Link.from_id(number) as found:
            assert found.info() == link.info()
        assert there(number)
    with pytest.raises(LoadError, match=f"there is no link {number} in the kernel"):
        Link.from_id(number)


def test_what_is_no_link_is_not_opened_as_one(folder: Path) -> None:
    with counting(SECTION) as counter:
        counter.program.pin(folder / "program")
        with pytest.raises(LoadError, match="it is a program, not a link"):
            Link.open(folder / "program")
        with pytest.raises(LoadError, match="there is no such pin"):
            Link.open(folder / "nothing")


def test_what_a_kind_of_link_cannot_do_is_said(folder: Path) -> None:
    with (
        counting(SECTION) as counter,
        counter.program.attach() as link,
        pytest.raises(NotSupported, match="changing the program of an attachment of kind raw"),
    ):
        link.update(counter.program)
    with (
        counting("tc") as counter,
        counter.program.attach("lo", via="clsact") as link,
        pytest.raises(NotSupported, match="pinning an attachment of kind clsact"),
    ):
        link.pin(folder / "link")


def test_a_forked_child_detaches_nothing() -> None:
    with counting(TRACED) as counter, counter.program.attach() as link:
        child = os.fork()
        if child == 0:
            link.detach()
            os._exit(0 if link.closed else 1)
        assert os.waitpid(child, 0)[1] == 0
        call()
        assert counter.runs == 1


def test_detaching_silences_an_event_that_a_child_holds() -> None:
    with counting("perf_event") as counter:
        link = counter.program.attach("page-faults", pid=os.getpid(), period=1)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until the parent is done
            os._exit(0)
        os.close(read)
        link.detach()
        counted = counter.runs
        with mmap.mmap(-1, 64 * mmap.PAGESIZE) as memory:
            for page in range(64):
                memory[page * mmap.PAGESIZE] = 1
        assert counter.runs == counted
        os.close(write)
        os.waitpid(child, 0)


WAITING = f"""
import signal, sys
from tests.runtime.attaching import counter
from ebpfasm.runtime.loader import load
how = sys.argv[1]
with load(counter({TRACED!r})) as live:
    link = live.programs["count"].attach()
    if how == "converted":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(link.id, flush=True)
    if how != "end":
        signal.pause()
"""


@pytest.mark.parametrize("how", ["end", "killed", "converted"])
@pytest.mark.needs("perf_event links")
def test_the_end_of_the_process_is_the_end_of_its_links(how: str) -> None:
    command = [sys.executable, "-W", "default", "-c", WAITING, how]
    with Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        number = int(job.stdout.readline())
        if how != "end":
            assert there(number)
            job.send_signal(signal.SIGTERM)
        said = job.stderr.read()
    # the kernel frees the link behind the process's end
    assert reaches(lambda: not there(number), 1)
    where = f"tracepoint syscalls/sys_enter_{CALL}"
    warned = f"ResourceWarning: <Link perf_event on {where}, attached> at the end of the process"
    assert (warned in said) == (how != "killed")


def test_a_warning_that_is_an_error_spares_no_link() -> None:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", WAITING, "end"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "ebpfasm: <Link " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.needs("syscall programs")
def test_what_nothing_attaches_is_said_with_what_there_is_instead() -> None:
    with counting("syscall") as counter:
        with pytest.raises(NotSupported, match="attaching a program of type syscall") as refusal:
            counter.program.attach()
        assert refusal.value.diagnostics[0].hint == "nothing calls it but test_run()"
        counter.program.test_run(ctx=bytes(8))
        assert counter.runs == 1
    with counting("action") as counter, pytest.raises(NotSupported, match="sched_act"):
        counter.program.attach()


def test_a_program_opened_by_its_id_is_attached_by_a_typed_method() -> None:
    with counting(TRACED) as counter, Program.from_id(counter.program.id) as same:
        with pytest.raises(LoadError, match="to which tracepoint"):
            same.attach()
        with same.attach_tracepoint("syscalls", f"sys_enter_{CALL}"):
            call(5)
        assert counter.runs == 5


def as_nobody(act: Callable[[], object]) -> str:
    """What an unprivileged child is told that tries something."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "no refusal"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            act()
        except LoadError as refusal:
            said = str(refusal)
        except BaseException as problem:
            said = repr(problem)
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, encoding="utf-8") as file:
        return file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize(
    ("section", "target", "options"),
    [
        ("xdp", "lo", {"via": "netlink"}),
        ("tc", "lo", {"via": "clsact"}),
        (TRACED, None, {}),
        ("perf_event", None, {}),
        ("uprobe/libc.so.6:getenv", None, {}),
        ("lwt_out", "10.9.0.0/24", {"iface": "lo"}),
    ],
)
def test_a_missing_capability_is_named(
    section: str, target: str | None, options: dict[str, str]
) -> None:
    # A link of a program that is loaded already takes none, as far as the kernel is concerned.
    with counting(section) as counter:
        said = as_nobody(lambda: counter.program.attach(target, **options))
    assert "error[permission]: cannot " in said
    assert "CAP_" in said
    assert "missing" in said
    assert "sudo" in said
