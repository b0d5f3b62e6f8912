"""Programs to bytes, and what is left for a loader."""

from __future__ import annotations

import pytest

from ebpfasm.emit import Image, Relocation, encode, image
from ebpfasm.errors import EncodeError, LinkError, Source, Span
from ebpfasm.ir import (
    Function,
    FunctionRef,
    Instruction,
    KfuncRef,
    KsymRef,
    Label,
    LabelRef,
    LinkedProgram,
    MapRef,
    MapSpec,
    ProgramSpec,
    VarRef,
    instruction,
    link,
)
from ebpfasm.isa.table import BY_NAME

COUNTS = MapSpec("counts", "array", 4, 8, 4)
PROGRAM = ProgramSpec(
    "counter",
    "xdp",
    "xdp",
    (
        instruction("lddw_map_fd", dst=1, ref=MapRef("counts")),
        instruction("jne64_imm", dst=0, ref=LabelRef("out")),
        instruction("lddw_map_value", dst=2, ref=VarRef("counts", "total", 8)),
        instruction("call_kfunc", ref=KfuncRef("bpf_cast_to_kern_ctx")),
        instruction("lddw_btf_id", dst=3, ref=KsymRef("runqueues")),
        Label("out"),
        instruction("call_local", ref=FunctionRef("inner")),
        instruction("exit"),
    ),
    functions=(Function("inner", (instruction("mov64_imm", imm=2), instruction("exit"))),),
    maps=(COUNTS,),
)


def test_references_leave_their_slots_zero_but_for_the_fixed_fields() -> None:
    assert image(link(PROGRAM)) == Image(
        bytes.fromhex(
            "1811000000000000 0000000000000000 5500050000000000"
            "1822000000000000 0000000000000000 8520000000000000"
            "1833000000000000 0000000000000000 8510000001000000"
            "9500000000000000 b700000002000000 9500000000000000"
        ),
        (
            Relocation(0, MapRef("counts")),
            Relocation(3, VarRef("counts", "total", 8)),
            Relocation(5, KfuncRef("bpf_cast_to_kern_ctx")),
            Relocation(6, KsymRef("runqueues")),
        ),
    )


def test_in_big_endian_the_same_slots_are_left() -> None:
    little, big = image(link(PROGRAM)), image(link(PROGRAM), byteorder="big")

    assert big.relocations == little.relocations
    assert big.byteorder == "big"
    assert big.code[16:24].hex() == "5500000500000000"
    assert big.code[0:2].hex() == "1811"


def test_encode_is_link_and_image() -> None:
    assert encode(PROGRAM) == image(link(PROGRAM)).code


def test_every_number_that_does_not_fit_is_reported_at_its_instruction() -> None:
    source = Source("wide.s", "r1 += 4294967296\n*(u8 *)(r1 + 70000) = r2\nr11 = 0\n")
    add = Instruction(BY_NAME["add64_imm"], 1, imm=1 << 32, span=Span(source, 0, 16))
    store = Instruction(BY_NAME["stxb"], 1, 2, off=70000, span=Span(source, 17, 41))
    move = Instruction(BY_NAME["mov64_imm"], 11, span=Span(source, 42, 49))
    with pytest.raises(EncodeError) as refused:
        encode(ProgramSpec("wide", "xdp", "xdp", (add, store, move)))

    assert str(refused.value) == (
        "wide.s:1:1: error[encode-range]: add64_imm: imm = 4294967296 is outside"
        " -2147483648 to 2147483647\n"
        "   1 | r1 += 4294967296\n"
        "     | ^^^^^^^^^^^^^^^^\n"
        "wide.s:2:1: error[encode-range]: stxb: off = 70000 is outside -32768 to 32767\n"
        "   2 | *(u8 *)(r1 + 70000) = r2\n"
        "     | ^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "wide.s:3:1: error[encode-range]: mov64_imm: r11 is no register, dst\n"
        "   3 | r11 = 0\n"
        "     | ^^^^^^^"
    )


def test_a_label_that_was_never_linked_is_reported() -> None:
    program = ProgramSpec("raw", "xdp", "xdp", ())
    linked = LinkedProgram(program, (instruction("ja", ref=LabelRef("out")),), ())
    with pytest.raises(LinkError) as refused:
        image(linked)

    assert str(refused.value) == "error[link-unresolved]: 'out' is not linked yet"


def test_a_program_without_instructions_is_no_bytes() -> None:
    assert encode(ProgramSpec("empty", "xdp", "xdp", ())) == b""
