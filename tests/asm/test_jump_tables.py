"""The `.jumptable` directive, and the builder's: what they make, and what they refuse."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.dsl import R0, R1, R2, Builder
from ebpfasm.emit.graph import dot
from ebpfasm.errors import AsmError, DslError
from ebpfasm.ir import LabelRef, PlaceRef, VarRef, instructions_of
from ebpfasm.ir.cfg import build
from ebpfasm.ir.tables import labels_in, table_spec

TEXT = """
.section xdp
f:
    r1 = ways ll
    r2 = *(u64 *)(r1 + 8)
    .jumptable ways, pass, drop
    gotox r2
pass:
    r0 = 2
    exit
drop:
    r0 = 1
    exit
"""


def built() -> ebpfasm.CollectionSpec:
    b = Builder()
    with b.program("f", section="xdp") as p:
        p.lddw_map_value(R1, p.jump_table("ways", "pass", "drop"))
        p.ldxdw(R2, R1, 8)
        p.gotox(R2)
        p.label("pass")
        p.mov(R0, 2)
        p.exit()
        p.label("drop")
        p.mov(R0, 1)
        p.exit()
    return b.build()


def test_text_and_builder_make_the_same_table() -> None:
    spec = ebpfasm.assemble(TEXT)
    (table,) = spec.maps.values()
    assert table == table_spec("ways", "f", ["pass", "drop"])
    assert (table.type, table.key_size, table.value_size, table.max_entries) == (
        "insn_array", 4, 16, 2,
    )  # fmt: skip
    assert dict(table.initial) == {0: PlaceRef("f", "pass"), 1: PlaceRef("f", "drop")}
    assert spec.programs["f"].maps == (table,)
    assert next(instructions_of(spec.programs["f"].instructions)).ref == VarRef("ways", "")
    assert built().programs["f"].maps == (table,)
    assert ebpfasm.encode(built().programs["f"]) == ebpfasm.encode(spec.programs["f"])


@pytest.mark.parametrize("dialect", ["llvm", "mnemonic"])
def test_what_is_printed_is_read_again(dialect: str) -> None:
    spec = ebpfasm.assemble(TEXT)
    text = ebpfasm.disassemble(spec, dialect=dialect)
    assert "    .jumptable ways, pass, drop\n" in text
    assert ebpfasm.assemble(text) == spec
    assert ebpfasm.assemble(ebpfasm.disassemble(built())).maps == spec.maps


def test_a_place_inside_a_table() -> None:
    spec = ebpfasm.assemble(TEXT.replace("ways ll", "ways+8 ll").replace("r1 + 8", "r1 + 0"))
    (program,) = spec.programs.values()
    assert next(instructions_of(program.instructions)).ref == VarRef("ways", "", 8)
    assert "r1 = ways+8 ll" in ebpfasm.disassemble(spec)
    assert ebpfasm.run(program, bytes(64), engine="vm").retval == 1


def test_the_function_s_own_name_is_a_place() -> None:
    spec = ebpfasm.assemble(TEXT.replace("pass, drop", "f, drop"))
    assert ebpfasm.verify(spec.programs["f"]).diagnostics[0].code == "verify-unreachable"
    assert ebpfasm.run(spec.programs["f"], bytes(64), engine="vm").retval == 1


def test_the_graph_has_an_edge_to_each_place_once() -> None:
    program = ebpfasm.assemble(TEXT.replace("pass, drop", "pass, drop, pass")).programs["f"]
    cfg = build(program.instructions, labels_in("f", program.maps))
    assert [each.successors for each in cfg.blocks] == [(1, 2), (), ()]
    assert build(program.instructions).blocks[0].successors == ()
    drawn = [line.strip() for line in dot(program).splitlines() if "->" in line]
    assert drawn == ["f0b0 -> f0b1;", "f0b0 -> f0b2;"]


def test_labels_of_jumps_and_of_tables_are_the_same_labels() -> None:
    program = ebpfasm.assemble(TEXT.replace("gotox r2", "if r2 == 0 goto drop\n    gotox r2"))
    refs = [each.ref for each in instructions_of(program.programs["f"].instructions)]
    assert LabelRef("drop") in refs
    assert ebpfasm.verify(program.programs["f"]).ok


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        (", pass, drop", ", pass, dropp", "asm-label-undefined", "there is no label dropp in f"),
        (", pass, drop", "", "asm-directive", "write .jumptable NAME, LABEL [, LABEL ...]"),
        (", pass, drop", ", pass=1", "asm-directive", "needs a name and labels"),
        (", pass, drop", ', "pass"', "asm-directive", "needs a name and labels"),
        (".jumptable ways", ".jumptable f", "asm-duplicate", "f is defined twice"),
        ("ways ll", "way ll", "asm-symbol", "did you mean ways?"),
        ("ways ll", "ways+16 ll", "asm-range", "outside jump table ways, which has 16 bytes"),
        (".jumptable ways", ".jumptabel ways", "asm-directive", "did you mean .jumptable?"),
        (".section xdp\n", ".section xdp\n.jumptable a, b\n", "asm-directive", "in no function"),
        ("gotox r2\n", "gotox r2\n.jumptable ways, drop\n", "asm-duplicate", "defined twice"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(old: str, new: str, code: str, words: str) -> None:
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(TEXT.replace(old, new, 1))
    assert code in {each.code for each in caught.value.diagnostics}
    assert words in str(caught.value)


def test_a_label_of_another_function_is_no_place() -> None:
    text = TEXT + ".globl g\ng:\n    r1 = more ll\n    .jumptable more, drop\n    exit\n"
    with pytest.raises(AsmError, match="there is no label drop in g") as caught:
        ebpfasm.assemble(text)
    assert "there is one in f, but a jump cannot leave its function" in str(caught.value)


def test_what_the_builder_refuses() -> None:
    b = Builder()
    b.map("ways", "hash", key="u32", value="u32", max_entries=1)
    with b.program("f", section="xdp") as p:
        p.jump_table("ways", "pass", "past")
        p.jump_table("none")
        p.jump_table("1", "pass")
        p.label("pass")
        p.exit()
    with pytest.raises(DslError) as caught:
        b.build()
    told = [each.message for each in caught.value.diagnostics]
    assert told == [
        "map 'ways' is defined twice",
        "jump table 'ways': program 'f' has no label 'past'",
        "jump table 'none' has no labels",
        "'1' cannot be the name of a jump table",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    .jumptable ways, pass, drop\n    gotox r2", "    gotox r2",
         "'f' has no jump table, so this jump may go nowhere"),
        ("    r1 = ways ll\n", "    r1 = ways ll\n    goto on\non:\n", ""),
        ("gotox r2", "r2 = 7; gotox r2", "r2 holds the number 7"),
        ("gotox r2", "gotox r1", "r1 holds the address of a map or table"),
        ("gotox r2", "r2 = r10; gotox r2", "r2 holds the address of the stack"),
        ("drop:\n    r0 = 1\n    exit", "drop:", "'f' has no instruction at 'drop'"),
        ("pass, drop", "drop", "no path leads to this instruction"),
    ],
)  # fmt: skip
def test_what_the_verifier_says(old: str, new: str, words: str) -> None:
    text = TEXT.replace(old, new, 1)
    if "has no jump table" in words:
        text = text.replace("r1 = ways ll", "r1 = r10")
    verdict = ebpfasm.verify(ebpfasm.assemble(text).programs["f"])
    assert verdict.ok == (words == "")
    assert words in "\n".join(map(str, verdict.diagnostics))


def test_the_verifier_knows_since_when_there_are_tables() -> None:
    verdict = ebpfasm.verify(ebpfasm.assemble(TEXT).programs["f"], kernel="6.18")
    assert "gotox came with Linux 6.19" in str(verdict.diagnostics[0])
