"""Long files take another way through the assembler, and come out the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm import emit, ir
from ebpfasm.asm import assemble, print_collection, text_of
from ebpfasm.asm.assembler import is_long
from ebpfasm.asm.long import assemble_long
from ebpfasm.asm.reading.quick import QuickReader
from ebpfasm.asm.reading.reader import StatementReader
from ebpfasm.asm.reading.shapes import learn
from ebpfasm.asm.reading.statements import Statement
from ebpfasm.errors import Diagnostic, LinkError, Source, Span
from ebpfasm.ir.packed import Packed, Stream
from ebpfasm.isa.table import TABLE
from ebpfasm.native import native_core
from tests.asm.test_errors import VOCABULARY
from tests.asm.test_ring import samples
from tests.support import ROOT, need_native

need_native()

CALLS = """
.license "GPL"
.map m, array, key=u32, value=u64, max_entries=5
.section xdp
.globl main
main:
    r2 = m ll
    r3 = cb ll
    call bpf_ktime_get_ns
    call sub
    if r0 == XDP_PASS goto out
    w0 = XDP_PASS
    goto main
out: exit
.globl other
other: call sub
out: exit
.text
sub: r0 = be16 r0 ; r0 = cmpxchg_64(r1 + 8, r0, r2); exit
cb: r0 = 0; exit
"""


def long_way(text: str) -> ebpfasm.CollectionSpec | None:
    return assemble_long(Source("x.s", text), native_core())


def check_alike(text: str) -> None:
    """The long way's collection is the ordinary one's, and so are its bytes and places."""
    spec = long_way(text)
    assert spec is not None
    ordinary = assemble(text, "x.s")
    assert spec == ordinary
    for name, program in ordinary.programs.items():
        packed = spec.programs[name]
        assert isinstance(packed.instructions, Stream)
        assert emit.image(ir.link(packed)) == emit.image(ir.link(program))
        for one, other in zip(packed.instructions, program.instructions, strict=True):
            assert one.span is not None
            assert other.span is not None
            assert (one.span.line, one.span.column, one.span.width) == (
                other.span.line,
                other.span.column,
                other.span.width,
            )


def test_every_form_comes_out_the_same() -> None:
    rows = [text_of(each, plain=True) for spec in TABLE for each in samples(spec)]
    check_alike(".section xdp\nf:\n" + "\n".join(rows))


def test_functions_maps_helpers_and_constants_come_out_the_same() -> None:
    check_alike(CALLS)
    check_alike((ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s").read_text())
    check_alike("r0 = 0\nexit # caf\u00e9 \n")
    check_alike("r0 = 0 /* over\nlines */ ; exit")


def test_what_is_printed_of_it_assembles_to_the_same() -> None:
    spec = long_way(CALLS)
    assert spec is not None
    assert assemble(print_collection(spec)) == spec


def test_a_slice_and_an_index_give_what_iteration_gives() -> None:
    spec = long_way(CALLS)
    assert spec is not None
    items = spec.programs["main"].instructions
    assert [items[index] for index in range(len(items))] == list(items)
    assert items[-1] == list(items)[-1]
    assert tuple(items[2:5]) == tuple(list(items)[2:5])
    linked = ir.link(spec.programs["main"]).instructions
    assert isinstance(linked, Packed)
    assert [linked[index] for index in range(len(linked))] == list(linked)


def test_a_jump_that_does_not_reach_is_told_alike() -> None:
    text = "f:\ngoto out\n" + "r0 = 0\n" * 32768 + "out: exit\n"
    found = []
    for spec in (long_way(text), assemble(text, "x.s")):
        assert spec is not None
        with pytest.raises(LinkError) as caught:
            ir.link(spec.programs["f"])
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert "x.s:2:1: error[link-jump-range]: 'out' is 32768 slots away" in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "r11 = 0",
        "r0 = 4294967296",
        "goto nowhere",
        "a: b: exit\nb: exit",
        "call nobody",
        "f: r1 = nomap ll",
        ".globl f\nf: exit\nf: exit",
        "r0 = 5 5",
        "/* open",
        "r0 = *(u32 *)(w1 + 4)",
        "r1 = be16 r2",
        ".unknown",
    ],
)
def test_mistakes_are_left_to_the_ordinary_way(text: str) -> None:
    assert long_way(text) is None


@pytest.mark.parametrize("shape", ["\x01 = \x04", "\x02 = \x01", "ld_pseudo \x01, \x03, \x03"])
def test_a_shape_whose_values_say_more_than_where_they_go_has_no_recipe(shape: str) -> None:
    assert learn(shape) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*VOCABULARY.split(), "\n", "\n"]), max_size=20).map(" ".join))
def test_whatever_the_long_way_takes_it_takes_as_the_ordinary_way_does(text: str) -> None:
    spec = long_way(text)
    if spec is not None:
        assert spec == assemble(text, "x.s")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_random_programs_come_out_the_same(seed: int) -> None:
    chance = random.Random(seed)
    rows = [text_of(each, plain=True) for spec in TABLE for each in samples(spec)]
    lines = []
    for number in range(20):
        lines.append(f".L{number}:")
        lines += chance.sample(rows, 3)
        lines.append(f"if r1 == {chance.randrange(99)} goto .L{chance.randrange(20)}")
    check_alike(".section tc\nf:\n" + "\n".join(lines))


def test_long_files_take_it_by_themselves() -> None:
    text = ".section xdp\nf:\n" + "r0 = 0\n" * 400 + "exit\n"
    assert is_long(text)
    assert isinstance(ebpfasm.assemble(text).programs["f"].instructions, Stream)


def read_by(reader: QuickReader | StatementReader, text: str) -> list[Statement]:
    source = Source("x.s", text)
    return reader.read(Span(source, 0, len(text)), text)


def grammar_reader(wrong: list[Diagnostic]) -> StatementReader:
    return StatementReader(Source("x.s", ""), wrong)


def check_quick(text: str) -> None:
    """What a known shape tells is what the grammar reads."""
    wrong: list[Diagnostic] = []
    quick = QuickReader(Source("x.s", ""), wrong, learning=True)
    found = [read_by(reader, text) for reader in (quick, grammar_reader(wrong))]
    assert [repr(each) for each in found[0]] == [repr(each) for each in found[1]]


def test_every_form_is_read_alike_by_its_shape() -> None:
    for spec in TABLE:
        for each in samples(spec):
            for plain in (False, True):
                check_quick(text_of(each, plain=plain))
    for text in ("r1 = m ll", "r1 = XDP_PASS ll", "goto r0", "exit:", "out:", "a b:", "r1 = 010"):
        check_quick(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY.split()), max_size=9).map(" ".join))
def test_any_statement_is_read_alike_by_its_shape(text: str) -> None:
    if ";" not in text and "#" not in text and "//" not in text and "/*" not in text:
        check_quick(text.strip())
