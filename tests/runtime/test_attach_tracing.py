"""What is bound to its target when it is loaded: fentry, LSM, freplace, and iterators."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.ir import CollectionSpec
from ebpfasm.runtime.attach.iterators import IterLink
from ebpfasm.runtime.loader import load
from tests.runtime.attaching import call, counting, judged
from tests.runtime.test_attach_probes import kernel_function
from tests.support import find_tool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]


@pytest.mark.needs("fentry")
@pytest.mark.parametrize("section", ["fentry", "fexit"])
def test_a_function_is_counted_at_entry_and_exit(section: str) -> None:
    function = kernel_function()
    with counting(f"{section}/{function}") as counter:
        with counter.program.attach() as link:
            call(5)
            assert judged(link) == ("tracing", counter.program.id)
            assert link.info().details["attach_type"] == f"trace_{section}"
            assert repr(link) == f"<Link tracing on {section} {function}, attached>"
        call(3)
        assert counter.runs == 5
        with pytest.raises(LoadError, match=f"it was loaded for {function}, and cannot"):
            counter.program.attach("do_sys_openat2")


@pytest.mark.needs("fentry", "tracing cookies")
def test_fentry_has_a_cookie() -> None:
    with counting(f"fentry/{kernel_function()}", cookie=True) as counter:
        with counter.program.attach(cookie=1 << 40):
            call()
        assert (counter.runs, counter.cookie) == (1, 1 << 40)


@pytest.mark.needs("fsession")
def test_a_session_of_a_function_runs_at_entry_and_exit() -> None:
    with counting(f"fsession/{kernel_function()}", cookie=True) as counter:
        with counter.program.attach(cookie=9) as link:
            call(5)
            assert judged(link) == ("tracing", counter.program.id)
            assert link.info().details["attach_type"] == "trace_fsession"
        call()
        assert (counter.runs, counter.cookie) == (10, 9)


@pytest.mark.needs("fentry.multi")
@pytest.mark.parametrize(
    ("section", "times"), [("fentry.multi", 1), ("fexit.multi", 1), ("fsession.multi", 2)]
)
def test_many_functions_are_one_link(section: str, times: int) -> None:
    function = kernel_function()
    least = f"{function[:-2]}in"
    with counting(section, cookie=True) as counter:
        with counter.program.attach([function, least], cookies=[7, 8]) as link:
            call(5)
            assert judged(link) == ("tracing_multi", counter.program.id)
            details = link.info().details
            assert (details["attach_type"], details["count"]) == (
                f"trace_{section.replace('.', '_')}",
                2,
            )
            assert (counter.runs, counter.cookie) == (5 * times, 7)
            os.sched_get_priority_min(os.SCHED_OTHER)
            assert (counter.runs, counter.cookie) == (6 * times, 8)
        call()
        assert counter.runs == 6 * times


@pytest.mark.needs("fentry.multi")
def test_functions_are_named_by_a_pattern_and_wrong_ones_told() -> None:
    function = kernel_function()
    with counting(f"fentry.multi/{function[:-2]}*") as counter:  # its minimum too
        with counter.program.attach() as link:
            call(5)
            assert repr(link) == "<Link tracing_multi on 2 functions, attached>"
        assert counter.runs == 5
        attach = counter.program.attach_tracing_multi
        with pytest.raises(LoadError, match="the kernel has no function zzz_no"):
            attach([function, "zzz_no"])
        with pytest.raises(LoadError, match=r"no function of the kernel fits 'zzz_\*'"):
            attach("zzz_*")
        with pytest.raises(ValueError, match="1 cookies were given for 2 functions"):
            attach([function, f"{function[:-2]}in"], cookies=[1])
        with pytest.raises(LoadError, match="cannot be one link"):
            attach(["one:function", "other:function"])
        with pytest.raises(LoadError, match="the functions"):
            attach([])
        with pytest.raises(LoadError, match="not trace_fentry or trace_fexit"):
            counter.program.attach_tracing()


@pytest.mark.needs("fentry")
def test_a_return_value_is_modified(tmp_path: Path) -> None:
    # Only in this thread: others open files too.
    ours = "    call bpf_get_current_pid_tgid\n    if w0 != {} goto pass"
    text = MODIFIES.format(ours.format(os.getpid()))
    target = tmp_path / "file"
    target.touch()
    with load(assemble(text, name="modify.s")) as live:
        with live.programs["deny"].attach() as link:
            assert judged(link) == ("tracing", live.programs["deny"].id)
            with pytest.raises(OSError, match="Operation not permitted"):
                target.open()
        target.open().close()


MODIFIES = """
.license "GPL"
.section "fmod_ret/security_file_open"
deny:
{}
    r0 = -1
    exit
pass:
    r0 = 0
    exit
"""


@pytest.mark.needs("lsm")
@pytest.mark.parametrize(
    "section",
    [
        "lsm/file_open",
        pytest.param("lsm.s/file_open", marks=pytest.mark.needs("sleepable lsm on files")),
    ],
)
def test_a_security_hook_denies(section: str, tmp_path: Path) -> None:
    ours = "    call bpf_get_current_pid_tgid\n    if w0 != {} goto pass"
    text = MODIFIES.format(ours.format(os.getpid())).replace("fmod_ret/security_file_open", section)
    target = tmp_path / "file"
    target.touch()
    with load(assemble(text, name="lsm.s")) as live:
        with live.programs["deny"].attach() as link:
            assert judged(link) == ("tracing", live.programs["deny"].id)
            assert link.info().details["attach_type"] == "lsm_mac"
            with pytest.raises(OSError, match="Operation not permitted"):
                target.open()
        target.open().close()


# Iterators -------------------------------------------------------------------------------------

# Writes the character that the rest of the text names, once for each object.
WRITES = """
.license "GPL"
.map marked, hash, key=u32, value=u64, max_entries=8
.section "iter/{target}"
each:
    r6 = *(u64 *)(r1 + 0)
    r1 = *(u64 *)(r6 + 0)
    r2 = 0x78
    *(u8 *)(r10 - 1) = r2
    r2 = r10
    r2 += -1
    r3 = 1
    call bpf_seq_write
    r0 = 0
    exit
"""


def test_an_iterator_is_read_like_a_file() -> None:
    with load(assemble(WRITES.format(target="task"), name="tasks.s")) as live:
        with live.programs["each"].attach() as link:
            assert isinstance(link, IterLink)
            assert judged(link) == ("iter", live.programs["each"].id)
            assert link.info().details["target_name"] == "task"
            with link.open_file() as file:
                first = file.read(1)
            assert first == b"x"
            tasks = len(link.read())
        # A call more for the end, and other processes come and go.
        assert tasks > len(os.listdir("/proc/self/task"))


@pytest.mark.needs("iterators over map elements")
def test_an_iterator_walks_the_elements_of_a_map() -> None:
    with load(assemble(WRITES.format(target="bpf_map_elem"), name="elements.s")) as live:
        marked = live.maps["marked"]
        for key in range(5):
            marked[key] = key
        with live.programs["each"].attach(map=marked) as link:
            assert isinstance(link, IterLink)
            assert link.info().details["map_id"] == marked.id
            assert link.read() == b"x" * 6  # and one for the end


@pytest.mark.needs("iterators over one task")
def test_an_iterator_walks_the_tasks_of_one_process() -> None:
    with (
        load(assemble(WRITES.format(target="task"), name="tasks.s")) as live,
        live.programs["each"].attach_iter(pid=os.getpid()) as link,
    ):
        assert len(link.read()) == len(os.listdir("/proc/self/task")) + 1


@pytest.mark.needs("iterators over cgroups")
def test_an_iterator_walks_cgroups(cgroup: Path) -> None:
    for name in ("one", "two"):
        (cgroup / name).mkdir()
    with load(assemble(WRITES.format(target="cgroup"), name="cgroups.s")) as live:
        program = live.programs["each"]
        with program.attach_iter(cgroup=cgroup, order="descendants") as link:
            assert link.read() == b"x" * 4
        with program.attach_iter(cgroup=cgroup) as link:
            assert link.read() == b"x" * 2
        with pytest.raises(ValueError, match="order is one of self, descendants"):
            program.attach_iter(cgroup=cgroup, order="up")


# Freplace --------------------------------------------------------------------------------------

REPLACED = """
struct xdp_md { unsigned int data; };
char gpl[] __attribute__((section("license"))) = "GPL";

#ifdef REPLACES
__attribute__((section("freplace/answer"))) int other(struct xdp_md *ctx) { return 2; }
#else
__attribute__((noinline)) int answer(struct xdp_md *ctx) { volatile int one = 1; return one; }
__attribute__((section("xdp"))) int NAME(struct xdp_md *ctx) { return answer(ctx); }
#endif
"""


def built(folder: Path, name: str, *flags: str) -> CollectionSpec:
    """The object that clang makes of it."""
    text, out = folder / "replaced.c", folder / f"{name}.o"
    text.write_text(REPLACED)
    command = [find_tool("clang"), "-target", "bpf", "-O2", "-g", *flags, "-c", str(text)]
    subprocess.run([*command, "-o", str(out)], check=True)
    return ebpfasm.open(out)


@pytest.mark.needs("fentry")
@pytest.mark.tool("clang")
def test_a_function_of_a_program_is_replaced(tmp_path: Path) -> None:
    frame = bytes(64)
    with (
        load(built(tmp_path, "first", "-DNAME=first")) as first,
        load(built(tmp_path, "second", "-DNAME=second")) as second,
        load(
            built(tmp_path, "other", "-DREPLACES"), targets={"other": first.programs["first"]}
        ) as others,
    ):
        one, two = first.programs["first"], second.programs["second"]
        other = others.programs["other"]
        assert (one.test_run(frame).retval, two.test_run(frame).retval) == (1, 1)
        with other.attach() as link:
            assert judged(link) == ("tracing", other.id)
            # Kernels before 5.13 do not tell.
            assert link.info().details["target_obj_id"] in (0, one.id)
            assert (one.test_run(frame).retval, two.test_run(frame).retval) == (2, 1)
        with other.attach_freplace(two, "answer") as link:
            assert link.where == "function answer of 'second'"
            assert (one.test_run(frame).retval, two.test_run(frame).retval) == (1, 2)
        assert (one.test_run(frame).retval, two.test_run(frame).retval) == (1, 1)
        with pytest.raises(LoadError, match="program 'second' has no function 'anwser'"):
            other.attach_freplace(two, "anwser")
