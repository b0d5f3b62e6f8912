"""Expressions against llvm-mc, and where each may stand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm import assemble, ir
from ebpfasm.asm.reading.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    Relative,
    Unary,
    evaluate,
    resolve,
    symbol_and_addend,
)
from ebpfasm.errors import AsmError, Diagnostic, Source, Span
from tests.asm.judge import llvm_constants

HERE = Span(Source("<test>", ""), 0, 0)


def value_of(text: str) -> int:
    (load, _) = assemble(f".equ X, {text}\nr1 = X ll\nexit").programs["main"].instructions
    assert isinstance(load, ir.Instruction)
    return load.imm


def operands(text: str) -> list[tuple[int, int]]:
    main = assemble(text).programs["main"].instructions
    return [(each.off, each.imm) for each in main if isinstance(each, ir.Instruction)]


SOME = [
    "1 << 3 + 1", "7 | 8 + 1", "-7 / 2", "-7 % 2", "7 / -2", "-1 >> 60", "5 == 5", "5 < 3",
    "2 && 3", "2 && 0", "!5", "!0", "~5", "3 <> 4", "1 - 2 & 3", "2 * 3 << 1", "6 ^ 3 - 1",
    "1 || 0 && 0", "-8 + 2 * 3", "(2 + 3) * 4", "2 * (3 + 4)", "- (3 + 4)", "- - 5", "~-1", "-~0",
    "1 - -1", "1 - 2 - 3", "100 / 5 / 2", "1 << 2 << 3", "1 == 1 == 1", "0x10 + 0b11 + 010",
    "'a' + 1", "(((7)))", "5 >= 5", "5 <= 4", "-5 > 4", "1 != 1", "+3", "1 << 62", "3 - 2 * 2 | 1",
    "0x8000000000000000 >> 63", "0xffffffffffffffff + 1", "1 & 2 == 0", "0x8000000000000000 - 1",
]  # fmt: skip


@pytest.mark.tool("llvm-mc")
def test_expressions_come_to_what_llvm_mc_makes_of_them() -> None:
    assert dict(zip(SOME, map(value_of, SOME), strict=True)) == dict(
        zip(SOME, llvm_constants(SOME), strict=True)
    )


OPERATORS = ["+", "-", "*", "|", "&", "^", "==", "!=", "<", ">", "<=", ">=", "&&", "||"]


@st.composite
def texts(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.integers(0, 70)))
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from("-~!+")) + " " + draw(texts(depth - 1))
    left, right = draw(texts(depth - 1)), draw(texts(depth - 1))
    operator = draw(
        st.sampled_from(
            ["+", "-", "*", "|", "&", "^", "==", "!=", "<", ">", "<=", ">=", "&&", "||"]
        )
    )
    parts = f"{left} {operator} {right}"
    return f"({parts})" if draw(st.booleans()) else parts


@pytest.mark.tool("llvm-mc")
@settings(max_examples=3, deadline=None)
@given(st.lists(texts(), min_size=150, max_size=150))
def test_any_expression_comes_to_what_llvm_mc_makes_of_it(expressions: list[str]) -> None:
    ours = [value_of(each) for each in expressions]
    assert ours == llvm_constants(expressions)


def test_an_expression_stands_wherever_a_number_does() -> None:
    text = """
        .equ SIZE, 8
        r1 = SIZE * 2 + 4
        r1 += -SIZE
        r1 = (1 + 2) * 3
        r1 = (SIZE)
        r1 = SIZE << 32 ll
        r2 = *(u32 *)(r1 + iphdr.saddr + 4)
        r2 = *(u32 *)(r10 - SIZE)
        r2 = *(u32 *)(r10 - SIZE * 2 + 4)
        *(u64 *)(r10 - (SIZE + 8)) = SIZE | 1
        if r1 == SIZE & 12 goto out
        if r1 & 5 goto out
        r0 = *(u8 *)skb[ethhdr.sizeof + 9]
        r0 = *(u8 *)skb[r1 + SIZE]
    out:
        exit
        """
    assert operands(text) == [
        (0, 20), (0, -8), (0, 9), (0, 8), (0, 8 << 32), (16, 0), (-8, 0), (-12, 0), (-16, 9),
        (0, 8), (0, 5), (0, 23), (0, 8), (0, 0),
    ]  # fmt: skip


def test_what_looks_like_an_expression_and_is_none_keeps_its_meaning() -> None:
    spec = assemble(
        """
        .map m, array, key=u32, value=u64, max_entries=1
        .section xdp
        f:
        r1 = -r1
        r2 = (s8)r1
        r1 = m ll
        r1 = *(u32 *)(r2 - 8)
        r1 *= 2
        r3 = be16 r3
        goto +1
        exit
        exit
        """
    )
    names = [each.spec.name for each in ir.instructions_of(spec.programs["f"].instructions)]
    assert names == [
        "neg64",
        "movsx8_64",
        "lddw_map_fd",
        "ldxw",
        "mul64_imm",
        "be16",
        "ja",
        "exit",
        "exit",
    ]


def mistakes(text: str) -> list[str]:
    with pytest.raises(AsmError) as caught:
        assemble(text)
    return [each.message for each in caught.value.diagnostics]


def test_a_result_is_never_cut_off() -> None:
    assert mistakes("r1 = 1 << 32") == [
        "the immediate 4294967296 is outside -2147483648 to 4294967295"
    ]
    assert mistakes("r1 = 1 << 64") == ["a shift by 64, which is outside 0 to 63"]
    assert mistakes("r1 = 0x7fffffffffffffff * 4") == [
        "9223372036854775807 * 4 does not fit 64 bits"
    ]
    assert mistakes("r1 = 1 / 0") == ["1 / 0: there is no such number"]
    assert mistakes("r1 = 4 + r2") == ["r2 is a register, where a number is needed"]


def test_places_have_differences_and_take_numbers() -> None:
    places = {"a": Relative(".text", 8), "b": Relative(".text", 24), "c": Relative("c", 0)}
    wrong: list[Diagnostic] = []

    def lookup(name: Name) -> Relative | None:
        return places.get(name.text)

    def binary(operator: str, left: Expression, right: Expression) -> Expression:
        return Binary(operator, left, right, HERE)

    a, b, c, four = Name("a", HERE), Name("b", HERE), Name("c", HERE), Literal(4, HERE)
    assert evaluate(binary("-", b, a), lookup, wrong.append) == 16
    assert resolve(binary("+", c, four), lookup, wrong.append) == Relative("c", 4)
    assert resolve(binary("+", four, c), lookup, wrong.append) == Relative("c", 4)
    assert resolve(binary("-", c, four), lookup, wrong.append) == Relative("c", -4)
    assert wrong == []
    for bad in (binary("-", b, c), binary("*", b, four), Unary("-", b, HERE), b):
        assert evaluate(bad, lookup, wrong.append) == 0
    assert [each.message for each in wrong] == [
        "- has no meaning for a place in the program",
        "* has no meaning for a place in the program",
        "- has no meaning for a place in the program",
        "this is a place in the program, where a number is needed",
    ]


def test_a_symbol_and_its_addend_are_told_apart() -> None:
    name, four = Name("m", HERE), Literal(4, HERE)
    assert symbol_and_addend(name) == (name, None)
    assert symbol_and_addend(Binary("+", name, four, HERE)) == (name, four)
    assert symbol_and_addend(Binary("-", name, four, HERE)) == (name, Unary("-", four, HERE))
    assert symbol_and_addend(Binary("*", name, four, HERE)) is None
    assert symbol_and_addend(four) is None
