"""Programs in the kernel are read back, and bpftool sees the same instructions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.asm.writing.translated import Row, Translated, functions
from ebpfasm.errors import LoadError
from ebpfasm.runtime import existing, inspect, loader, pins
from ebpfasm.runtime.programs import Program
from tests.runtime.samples import counting
from tests.support import find_tool

pytestmark = pytest.mark.kernel

BUSY = """
.license "GPL"
.map counts, hash, key=u32, value=u64, max_entries=2
.map table, array, key=u32, value=u64, max_entries=4
.map jumps, prog_array, key=u32, value=u32, max_entries=4
.section xdp
busy:
    r6 = r1
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto next
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
next:
    r2 = r10
    r2 += -4
    r1 = table ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r3 = *(u64 *)(r0 + 0)
    r4 = 100
    r4 /= r3
    w4 %= w3
    *(u64 *)(r0 + 0) = r4
    r1 = r3
    call mix
    r1 = r6
    r2 = jumps ll
    r3 = 1
    call bpf_tail_call
out:
    call bpf_ktime_get_ns
    r0 = 2
    exit
.text
mix:
    r0 = r1
    r0 = be16 r0
    r0 = -r0
    w0 s>>= 3
    r2 = 0x1122334455667788 ll
    r0 ^= r2
    if r0 s> -5 goto small
    if w0 & 0x80 goto small
    r0 = 1
small:
    exit
"""


@contextmanager
def loaded(text: str) -> Iterator[Program]:
    with ebpfasm.load(assemble(text, "busy.s")) as collection:
        yield next(iter(collection.programs.values()))


def read(program: Program) -> Translated:
    with existing.program_by_id(program.id) as found:
        return inspect.translated(found)


def rows_of(program: Translated) -> list[Row]:
    return [row for _, rows in functions(program) for row in rows]


def dump(program: Program, *words: str) -> str:
    command = [find_tool("bpftool"), "prog", "dump", "xlated", "id", str(program.id), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def as_bpftool(row: Row, labels: dict[str, int], starts: dict[str, int]) -> str:
    """One row in words that bpftool's dialect has too; see `common`."""
    text = row.text
    for name, slot in labels.items():
        text = re.sub(rf"goto {name}$", f"goto pc{slot - row.slot - 1:+}", text)
    for name, slot in starts.items():
        text = re.sub(rf"call {name}$", f"call pc{slot - row.slot - 1:+}", text)
    return common(text.removesuffix(" ll"))


def common(text: str) -> str:
    """Text without what differs between the dialects alone: numbers' base, blanks, w for r."""
    text = re.sub(r"(?<![\w])(-?)0x([0-9a-f]+)", _decimal, text)
    text = re.sub(r"(call \S+?)#\S+", r"\1", text)
    text = re.sub(r"\bw(\d+)", r"r\1", text)
    return re.sub(r"([+-]) (?=\d)", r"\1", text)


def _decimal(match: re.Match[str]) -> str:
    number = int(match[1] + match[2], 16)
    return str(number - (1 << 32) if 1 << 31 <= number < 1 << 32 else number)


def theirs(program: Program, maps: dict[int, str]) -> dict[int, str]:
    """bpftool's instructions by slot."""
    found = re.findall(r"^ +(\d+): \(\w\w\) (.*)$", dump(program), re.MULTILINE)
    named = {
        int(slot): re.sub(r"map\[id:(\d+)\]", lambda m: maps[int(m[1])], text)
        for slot, text in found
    }
    return {slot: common(text) for slot, text in named.items()}


def ours(program: Translated) -> dict[int, str]:
    """The same instructions as we have them, in the same words."""
    found = {}
    starts = {name: slot for slot, name in program.starts.items()}
    for _, rows in functions(program):
        labels = {label: row.slot for row in rows for label in row.labels}
        found.update({row.slot: as_bpftool(row, labels, starts) for row in rows})
    return found


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("text", [BUSY], ids=["busy"])
def test_bpftool_shows_the_same_instructions(text: str) -> None:
    with loaded(text) as program:
        found = read(program)
        assert ours(found) == theirs(program, {id: each.name for id, each in found.maps.items()})


@pytest.mark.tool("bpftool")
def test_bpftool_shows_the_same_functions_and_lines() -> None:
    with loaded(BUSY) as program:
        found = read(program)
        text = dump(program, "linum")
    assert re.findall(r"^int (\w+)\(", text, re.MULTILINE) == list(found.functions.values())
    lines = re.findall(
        r"^; (.*) \[file:(\S+) line_num:(\d+) line_col:(\d+)\]\n +(\d+):", text, re.MULTILINE
    )
    assert lines
    assert {int(slot): (file, int(line), int(column)) for _, file, line, column, slot in lines} == {
        slot: (each.name, each.line, each.column) for slot, each in found.lines.items()
    }
    assert [line for line, *_ in lines] == [
        found.lines[slot].line_text.strip() for slot in sorted(found.lines)
    ]


@pytest.mark.tool("bpftool")
def test_bpftool_shows_the_same_of_a_program_of_clang_s(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text("""
    #include <linux/bpf.h>
    #define SEC(name) __attribute__((section(name), used))
    int hits = 7, limit;
    char _license[] SEC("license") = "GPL";
    static __attribute__((noinline)) int add(int by) { hits += by; return hits > limit; }
    SEC("xdp") int count(struct xdp_md *ctx) { limit = 5; return add(ctx->data_end - ctx->data); }
    """)
    pin = Path("/sys/fs/bpf") / f"t{uuid4().hex[:8]}"
    command = [find_tool("clang"), "-g", "-O2", "-target", "bpf", "-c", str(source), "-o"]
    include = ["-I/usr/include/x86_64-linux-gnu"]
    subprocess.run([*command, str(tmp_path / "x.o"), *include], check=True)
    subprocess.run([find_tool("bpftool"), "prog", "load", tmp_path / "x.o", pin], check=True)
    try:
        with existing.pinned_program(pin) as program:
            found = inspect.translated(program)
            text = dump(program, "linum")
    finally:
        pin.unlink()
    assert list(found.functions.values()) == ["count", "add"]
    assert [row.text for row in rows_of(found) if row.text.endswith(" ll")] == [
        each for each in (row.text for row in rows_of(found)) if re.search("(hits|limit) ll", each)
    ]
    assert {each.line for each in found.lines.values()} == {
        int(line) for line in re.findall(r"line_num:(\d+)", text)
    }


def test_a_program_is_opened_by_id_pin_name_and_tag() -> None:
    name = f"t{uuid4().hex[:8]}"
    pin = Path("/sys/fs/bpf") / name
    with loaded(f".section xdp\n{name}: r0 = 2; r0 += {int(name[1:5], 16)}; exit") as program:
        program.pin(pin)
        info = program.info()
        try:
            opened = (
                existing.program_by_id(info.id),
                existing.pinned_program(pin),
                existing.find_program(name=name),
                existing.find_program(tag=info.tag),
            )
        finally:
            pin.unlink()
        for each in opened:
            with each:
                assert (each.id, each.name, each.type) == (info.id, name, "xdp")


def test_what_is_not_there_is_told() -> None:
    for number, what in ((4294967295, "program 4294967295 in the kernel"), (0, "program 0")):
        with pytest.raises(LoadError, match=f"there is no {what}"):
            existing.program_by_id(number)
    with pytest.raises(LoadError, match="there is no program 'nobody' in the kernel"):
        existing.find_program(name="nobody")
    with pytest.raises(LoadError, match=r"cannot open '/sys/fs/bpf/nothing': there is no such pin"):
        existing.pinned_program("/sys/fs/bpf/nothing")


def test_several_of_one_name_are_told_apart_by_id() -> None:
    name = f"t{uuid4().hex[:8]}"
    text = f".section xdp\n{name}: r0 = 2; exit"
    with loaded(text) as one, loaded(text) as other:
        with pytest.raises(LoadError) as caught:
            existing.find_program(name=name)
        hint = f"choose one by its id: {one.id}, {other.id}"
    assert caught.value.diagnostics[0].hint == hint


def test_a_pinned_map_is_no_program() -> None:
    pin = Path("/sys/fs/bpf") / f"t{uuid4().hex[:8]}"
    with loader.load(counting()) as collection:
        pins.pin(collection.maps["counts"].fd, pin, "the map")
        try:
            with pytest.raises(LoadError, match="it is a map, not a program"):
                existing.pinned_program(pin)
        finally:
            pin.unlink()


def test_a_program_without_btf_is_read_too() -> None:
    from tests.kernel import closing, prog_id, prog_load

    fd, _ = prog_load(bytes.fromhex("b700000002000000 9500000000000000"))
    with closing(fd), existing.program_by_id(prog_id(fd)) as program:
        found = inspect.translated(program)
    assert (found.name, dict(found.functions), dict(found.lines)) == ("judged", {}, {})
    assert [row.text for row in rows_of(found)] == ["r0 = 0x2", "exit"]


def test_maps_of_one_name_are_told_apart() -> None:
    maps = ("long_name_of_map_1", "long_name_of_map_2")  # the kernel keeps 15 characters
    text = "".join(f".map {each}, array, key=u32, value=u64, max_entries=2\n" for each in maps)
    text += ".section xdp\nf: " + "".join(f"r1 = {each} ll; " for each in maps) + "r0 = 2; exit"
    with loaded(text) as program:
        found = read(program)
        second = program.info().map_ids[1]
    names = [each.name for each in found.maps.values()]
    assert names == ["long_name_of_ma", f"long_name_of_ma_{second}"]
    assert [row.text for row in rows_of(found)][:2] == [f"r1 = {name} ll" for name in names]
