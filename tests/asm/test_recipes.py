"""What is learnt of shapes outlasts a run, and is never believed where it is damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.asm.reading.quick import QuickReader
from ebpfasm.asm.reading.reader import StatementReader
from ebpfasm.asm.reading.recipes import Kept
from ebpfasm.asm.reading.shapes import learn, words
from ebpfasm.errors import Diagnostic, Source, Span
from tests.support import ROOT

DEMO = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
SHAPES = ("\x01 += \x03", "*(u32 *)(\x01 - \x03) = \x02", "goto \x04", "\x01 = \x04 ll")


def modules_after_assembling(path: Path, home: Path) -> set[str]:
    code = (
        "import sys, ebpfasm\n"
        f"print(ebpfasm.encode(ebpfasm.open({str(path)!r}).programs['xdp_stats']).hex())\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"XDG_CACHE_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    encoded, modules = done.stdout.splitlines()
    return {encoded, *modules.split()}


def test_the_second_run_needs_no_grammar(tmp_path: Path) -> None:
    first = modules_after_assembling(DEMO, tmp_path)
    second = modules_after_assembling(DEMO, tmp_path)
    assert "lark" in first
    assert "lark" not in second
    (encoded,) = {each for each in first if each.startswith("b401")}
    assert encoded in second


def test_recipes_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "shapes")
    for shape in (*SHAPES, "no shape at all"):
        kept.add(shape, learn(shape))
    kept.write(words())
    again = Kept(tmp_path / "shapes")
    assert again.words == words()
    assert [again.find(shape) for shape in SHAPES] == [learn(shape) for shape in SHAPES]
    assert "no shape at all" in again
    assert again.find("no shape at all") is None
    assert "never met" not in again


@pytest.mark.parametrize("content", [b"", b"junk", b"\xe9\x01\x00\x00\x00", b"(" * 100])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shapes").write_bytes(content)
    kept = Kept(tmp_path / "shapes")
    assert kept.words == ()
    assert SHAPES[0] not in kept


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "there is no such folder" / "shapes")
    kept.add(SHAPES[0], learn(SHAPES[0]))
    kept.write(words())
    assert kept.find(SHAPES[0]) == learn(SHAPES[0])


_PIECES = (
    *(".section", ".map", ".license", ".globl", ".type", ".text", " ", " ", ",", "=", "key"),
    *("u32", "XDP_PASS", "5", "07", "-1", '"GPL"', '"a\\"b"', "@function", "xdp/x", "a.b"),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8).map("".join).map(str.strip))
def test_directives_are_read_as_the_grammar_reads_them(text: str) -> None:
    if not text:
        return
    source = Source("x.s", text)
    found = []
    for kind in (QuickReader, StatementReader):
        wrong: list[Diagnostic] = []
        reader = kind(source, wrong)
        found.append((repr(reader.read(Span(source, 0, len(text)), text)), repr(wrong)))
    assert found[0] == found[1]
