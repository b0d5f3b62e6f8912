from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebpfasm.asm import assemble
from ebpfasm.errors import EncodeError, LoadError, Source, Span
from ebpfasm.ir import (
    CollectionSpec,
    Instruction,
    MapSpec,
    ProgramSpec,
    collect,
    instructions_of,
)
from ebpfasm.runtime import syscall
from ebpfasm.runtime.loader import load
from tests.runtime.samples import bpftool, counting, descriptors, passing

pytestmark = pytest.mark.kernel


def refusal_of(text: str, name: str = "bad.s") -> LoadError:
    with pytest.raises(LoadError) as refusal:
        load(assemble(text, name=name))
    return refusal.value


@pytest.mark.tool("bpftool")
def test_bpftool_sees_program_map_and_source_lines() -> None:
    with load(counting(), log_level=1) as live:
        processed = re.findall(r"processed (\d+) insns", live.programs["count"].log)
        info = live.programs["count"].info()
        shown = bpftool("prog", "show", "id", info.id)
        lines = bpftool("prog", "dump", "xlated", "id", info.id, "linum")
        assert shown["map_ids"] == [live.maps["counts"].id] == list(info.map_ids)
        assert (shown["type"], shown["name"], shown["tag"]) == ("xdp", "count", info.tag)
        assert info.type == "xdp"
        assert shown["bytes_xlated"] == info.xlated_length == len(live.programs["count"].xlated())
        assert [info.verified_instructions] in ([int(each) for each in processed], [0])
    assert bpftool("prog", "show", "id", info.id) is None
    sources = [each["src"] for each in lines if "src" in each]
    assert "r0 = 2" in sources


def test_a_rejected_program_is_blamed_at_the_instructions_place() -> None:
    refusal = refusal_of(".section xdp\nmain:\n    r0 = 0\n    r0 += r3\n    exit\n")
    first, code, carets, *notes, hint = str(refusal).splitlines()
    assert (first, code, carets, hint) == (
        "bad.s:4:5: error[load-rejected]: the verifier refuses program 'main': R3 !read_ok",
        "   4 |     r0 += r3",
        "     |     ^^^^^^^^",
        "   hint: give the register a value on every path to here; a call clobbers r1 to r5",
    )
    assert all(each.startswith("   note: ") for each in notes)  # Linux 7.3 adds a reason
    assert refusal.errno == errno.EACCES
    assert "R3 !read_ok" in refusal.log
    assert "; r0 += r3 @ bad.s:4" in refusal.log or "; r0 += r3" in refusal.log


REJECTED = [
    ("r1 = *(u32 *)(r1 + 200)\nr0 = 0\nexit", 3, "invalid bpf_context access off=200 size=4"),
    ("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit", 4, "invalid access to packet"),
    ("r0 = 0\ngoto +1\nr0 = 1\nexit", 5, "unreachable insn 2"),
    ("r0 = *(u64 *)(r10 - 520)\nexit", 3, "invalid"),
    ("exit", 3, "R0 !read_ok"),
]


@pytest.mark.parametrize(("body", "line", "complaint"), REJECTED)
def test_rejections_name_line_and_reason(body: str, line: int, complaint: str) -> None:
    refusal = refusal_of(f".section xdp\nmain:\n{body}\n")
    assert complaint in str(refusal)
    (diagnostic,) = refusal.diagnostics
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.code) == (line, "load-rejected")


def test_a_gpl_helper_needs_the_licence() -> None:
    text = (
        ".section xdp\nmain:\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\n"
        "call bpf_trace_printk\nr0 = 0\nexit\n"
    )
    refusal = refusal_of(text)
    assert "GPL" in str(refusal.diagnostics[0].message)
    assert refusal.diagnostics[0].hint == 'only GPL programs may call this helper: .license "GPL"'
    load(assemble('.license "GPL"\n' + text)).close()


def test_every_refused_program_is_reported_and_nothing_stays_open() -> None:
    before = descriptors()
    text = (
        ".map m, array, key=u32, value=u64, max_entries=1\n.section xdp\n"
        "one:\n    r0 = r9\n    exit\n.section xdp\ntwo:\n    r0 = 2\n    exit\n"
        ".section xdp\nthree:\n    r0 = r8\n    exit\n"
    )
    refusal = refusal_of(text)
    assert [each.span.line for each in refusal.diagnostics if each.span] == [4, 12]
    assert descriptors() == before


def test_a_map_that_fails_closes_those_before_it() -> None:
    before = descriptors()
    good, bad = MapSpec("good", "array", 4, 4, 1), MapSpec("bad", "array", 8, 4, 1)
    with pytest.raises(LoadError, match="cannot create map 'bad'"):
        load(CollectionSpec({}, {"good": good, "bad": bad}))
    with pytest.raises(EncodeError, match="key of map 'typed' is 4 bytes, but u64 has 8"):
        load(CollectionSpec({}, {"good": good, "t": MapSpec("typed", "array", 4, 4, 1, key="u64")}))
    assert descriptors() == before


def test_a_program_without_a_type_says_what_is_missing() -> None:
    program = replace(passing().programs["pass"], section="odd", type="")
    with pytest.raises(LoadError) as refusal:
        load(collect([program]))
    (diagnostic,) = refusal.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "load-program-type",
        "program 'pass': section 'odd' tells no program type",
        'name the section after the type, as in .section xdp or SEC("xdp")',
    )


def test_programs_without_any_place_load_too() -> None:
    spec = counting().programs["count"]
    bare = tuple(
        replace(each, span=None) if isinstance(each, Instruction) else each
        for each in spec.instructions
    )
    with load(collect([replace(spec, instructions=bare, span=None)], maps=spec.maps)) as live:
        assert live.programs["count"].test_run(bytes(64)).retval == 2


def test_the_log_of_an_accepted_program_is_kept_if_asked_for() -> None:
    with load(passing(), log_level=1) as live:
        assert "processed 2 insns" in live.programs["pass"].log
    with load(passing()) as live:
        assert live.programs["pass"].log == ""


def test_long_logs_are_read_to_their_end() -> None:
    body = "\n".join(["r0 = 1", "r0 += 1"] * 15_000)
    text = f".section xdp\nmain:\n{body}\nr0 = r7\nexit\n"
    refusal = refusal_of(text)
    assert "R7 !read_ok" in str(refusal)
    assert len(refusal.log) > 1 << 18
    assert refusal.diagnostics[0].span is not None
    assert refusal.diagnostics[0].span.line == 30_003


def test_a_log_may_hold_bytes_that_are_no_utf_8() -> None:
    source = Source("bad.c", "a += \udce4;")
    items = instructions_of(assemble("r0 += r3; exit").programs["main"].instructions)
    at = Span(source, 0, len(source.text))
    program = ProgramSpec("bad", "xdp", "xdp", tuple(replace(each, span=at) for each in items))
    with pytest.raises(LoadError) as refusal:
        load(collect([program]))
    assert "; a += \\xe4;" in refusal.value.log
    assert "R3 !read_ok" in str(refusal.value)


COUNTDOWN = ".section xdp\nmain:\nr0 = 0\nl: r0 += 1\nif r0 != 100000 goto l\nexit\n"


def test_a_load_that_a_signal_interrupts_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[int] = []
    engine = syscall._engine()

    def listening(command: int, attributes: bytearray) -> int:
        result = engine.call(command, attributes)
        if command == syscall.PROG_LOAD:
            results.append(result)
        return result

    heard = engine._replace(call=listening)
    monkeypatch.setattr(syscall, "_engine", lambda: heard)
    spec = assemble(COUNTDOWN)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        for after in (0.01, 0.003, 0.03, 0.001, 0.1) * 10:
            results.clear()
            signal.setitimer(signal.ITIMER_REAL, after)
            load(spec).close()
            signal.setitimer(signal.ITIMER_REAL, 0)
            if -errno.EAGAIN in results:
                break
    finally:
        signal.signal(signal.SIGALRM, before)
    assert results[0] == -errno.EAGAIN
    assert results[-1] > 0


def test_the_kernel_keeps_fifteen_bytes_of_the_name() -> None:
    spec = passing().programs["pass"]
    with load(collect([replace(spec, name="a_name_longer_than_fifteen")])) as live:
        (program,) = live.programs.values()
        assert (program.name, program.info().name) == (
            "a_name_longer_than_fifteen",
            "a_name_longer_t",
        )


WITHOUT_RIGHTS = """
import ctypes, struct, sys
from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.runtime.loader import load
spec = assemble(sys.argv[1])
header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
assert ctypes.CDLL(None).capset(header, nothing) == 0
try:
    load(spec)
except LoadError as refusal:
    print(refusal.errno, refusal)
"""


@pytest.mark.parametrize("map", ["", ".map m, array, key=u32, value=u64, max_entries=1\n"])
def test_without_rights_it_says_which_is_missing_and_what_to_type(map: str) -> None:
    text = f"{map}.section xdp\nmain:\nr0 = 2\nexit\n"
    command = [sys.executable, "-c", WITHOUT_RIGHTS, text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if Path("/proc/sys/kernel/unprivileged_bpf_disabled").read_text().strip() == "0" and map:
        pytest.skip("here everybody may create maps")
    what, names, words = (
        "load program 'main'",
        "cap_bpf,cap_net_admin",
        "CAP_BPF and CAP_NET_ADMIN are",
    )
    if map:
        what, names, words = "create map 'm'", "cap_bpf", "CAP_BPF is"
    first, *_, last = done.stdout.splitlines()
    assert f"error[permission]: cannot {what}: {words} missing" in first
    assert first.endswith("(EPERM)")
    assert last.startswith("   hint: run it as root (sudo), or ")
    assert f"sudo setcap {names}=ep " in last


def test_rights_are_given_to_no_interpreter_that_others_use(tmp_path: Path) -> None:
    """Every script that an interpreter runs would have them (docs/rights.md)."""
    text = ".section xdp\nmain:\nr0 = 2\nexit\n"
    where = {"PYTHONPATH": os.pathsep.join(sys.path)}
    for options, given in (
        (["--copies"], f"type: sudo setcap cap_bpf,cap_net_admin=ep {tmp_path}/"),
        (["--symlinks", "--clear"], "python3 -m venv --copies MINE; sudo setcap cap_bpf,"),
    ):
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", *options, tmp_path], check=True
        )
        done = subprocess.run(
            [tmp_path / "bin" / "python", "-c", WITHOUT_RIGHTS, text],
            capture_output=True, text=True, check=True, env={**os.environ, **where},
        )  # fmt: skip
        assert given in done.stdout.splitlines()[-1]


def test_an_empty_collection_loads() -> None:
    with load(CollectionSpec({}, {})) as live:
        assert (dict(live.programs), dict(live.maps)) == ({}, {})
