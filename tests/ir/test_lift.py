"""Lifting is linking undone: the bytes of a program come back, whatever its jumps and calls."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.emit import encode
from ebpfasm.errors import DecodeError
from ebpfasm.ir import (
    Function,
    FunctionRef,
    Label,
    LabelRef,
    ProgramSpec,
    decode,
    instruction,
    lift,
)
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.codec import encode as encode_one
from ebpfasm.isa.table import BY_NAME

JUMPS = ("ja", "gotol", "jeq64_imm", "jslt32_reg", "may_goto")
CALLS = ("call_local", "lddw_func")
OTHERS = ("mov64_imm", "exit", "lddw", "lddw_map_fd", "stxdw", "call_helper", "call_kfunc")


@st.composite
def programs(draw: st.DrawFn, order: ByteOrder) -> bytes:
    """Bytes of a program whose jumps go anywhere, also into a wide instruction or outside."""
    names = draw(st.lists(st.sampled_from(JUMPS + CALLS + OTHERS), min_size=1, max_size=24))
    slots = [0]
    for name in names:
        slots.append(slots[-1] + BY_NAME[name].slots)
    chunks = []
    for index, name in enumerate(names):
        distance = 0
        if name in JUMPS:
            distance = draw(st.integers(-2, slots[-1] + 2)) - slots[index] - 1
        elif name in CALLS:
            distance = draw(st.sampled_from(slots[:-1])) - slots[index] - 1
        elif name in ("mov64_imm", "lddw", "call_helper"):
            distance = draw(st.integers(-5, 5))
        field = "off" if name in JUMPS and name != "gotol" else "imm"
        if BY_NAME[name].form.operand(field) is None:
            field, distance = "imm", 0
        chunks.append(encode_one(BY_NAME[name], **{field: distance}, byteorder=order))
    return b"".join(chunks)


@pytest.mark.parametrize("order", ["little", "big"])
@given(data=st.data())
def test_a_lifted_program_links_to_the_same_bytes(order: ByteOrder, data: st.DataObject) -> None:
    code = data.draw(programs(order))

    assert encode(lift(decode(code, byteorder=order)), byteorder=order) == code


@given(data=st.data())
def test_lifting_a_lifted_program_changes_nothing(data: st.DataObject) -> None:
    program = lift(decode(data.draw(programs("little"))))

    assert lift(decode(encode(program))) == program


def test_jump_targets_become_labels_in_the_order_of_the_text() -> None:
    code = struct.pack(
        "<" + "BBhi" * 4, 0x15, 1, 1, 0, 0xB7, 0, 0, 1, 0x05, 0, -3, 0, 0x95, 0, 0, 0
    )
    program = lift(decode(code), name="loop")

    assert program.instructions == (
        Label("L1"),
        instruction("jeq64_imm", dst=1, ref=LabelRef("L2")),
        instruction("mov64_imm", imm=1),
        Label("L2"),
        instruction("ja", ref=LabelRef("L1")),
        instruction("exit"),
    )


def test_called_places_become_functions_by_their_known_names() -> None:
    called = Function("helper", (instruction("mov64_imm", imm=7), instruction("exit")))
    program = ProgramSpec(
        "main",
        "xdp",
        "xdp",
        (instruction("call_local", ref=FunctionRef("helper")), instruction("exit")),
        functions=(called,),
    )
    code = encode(program)

    assert (
        lift(decode(code), name="main", section="xdp", type="xdp", names={2: "helper"}) == program
    )
    assert lift(decode(code)).functions[0].name == "func_2"


def test_a_call_of_the_program_itself_is_by_its_name() -> None:
    code = encode_one(BY_NAME["call_local"], imm=-1) + encode_one(BY_NAME["exit"])

    first = lift(decode(code), name="again").instructions[0]
    assert first == instruction("call_local", ref=FunctionRef("again"))


def test_a_jump_into_a_wide_instruction_keeps_its_number() -> None:
    code = encode_one(BY_NAME["ja"], off=1) + encode_one(BY_NAME["lddw"], imm=1)

    assert lift(decode(code)).instructions == decode(code)


@pytest.mark.parametrize("distance", [1, 2, -2, 1 << 20])
def test_a_call_that_leaves_the_program_is_reported(distance: int) -> None:
    code = encode_one(BY_NAME["call_local"], imm=distance) + encode_one(BY_NAME["exit"])
    with pytest.raises(DecodeError) as refused:
        lift(decode(code))

    assert str(refused.value) == "error[decode-reserved]: slot 0: the call leaves the program"


def test_no_bytes_are_a_program_without_instructions() -> None:
    assert lift(decode(b""), name="empty") == ProgramSpec("empty", "", "", ())
