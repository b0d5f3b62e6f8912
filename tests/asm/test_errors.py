"""Every mistake of a file is reported, at its place, in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.errors import AsmError, Diagnostic, EbpfError
from tests.expectations import check
from tests.support import DATA

FILES = sorted((DATA / "errors" / "asm").glob("*.s"))


def mistakes(text: str, name: str = "<string>") -> tuple[Diagnostic, ...]:
    try:
        ebpfasm.assemble(text, name=name)
    except AsmError as problem:
        return problem.diagnostics
    return ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_told_of_all_its_mistakes_and_no_others(path: Path, bless: bool) -> None:
    check(path, mistakes(path.read_text(encoding="utf-8"), path.name), bless)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("call bpf_map_lokup_elem; exit", "did you mean bpf_map_lookup_elem?"),
        ("out: goto ot; exit", "did you mean out?"),
        ("gott 1", "did you mean goto?"),
        (".sektion xdp", "did you mean .section?"),
        ("r0 = XDP_PAS; exit", "did you mean XDP_PASS?"),
        ("r0 = *(u32 *)(r1 + xdp_md.dataend)", "did you mean xdp_md.data_end?"),
        (".map m, aray, key=u32, value=u32, max_entries=1", "did you mean array?"),
        (".map m, array, kee=u32, value=u32, max_entries=1", "did you mean key?"),
        (
            "r0 = 1; mov r1, 2",
            "this dialect writes operators, as in r1 += 2 and r1 = *(u32 *)(r2 + 4)",
        ),
        ("r1 = w2", "write r2"),
        ("w1 += r2", "write w2"),
        ("r0 = 09", "a leading 0 makes a number octal"),
    ],
)
def test_the_mend_is_named_where_one_is_near(text: str, hint: str) -> None:
    assert hint in [each.hint for each in mistakes(text)]


def test_a_diagnostic_shows_file_line_column_and_caret() -> None:
    (mistake,) = mistakes("    r0 = 0\n\tr11 = 5 # eleven\n    exit", "drop.s")
    assert str(mistake) == (
        "drop.s:2:2: error[asm-register]: there is no register r11\n"
        "   2 | \tr11 = 5 # eleven\n"
        "     | \t^^^\n"
        "   hint: registers are r0 to r10"
    )


def test_a_second_definition_names_the_first() -> None:
    (mistake,) = mistakes("r0 = 0\nout: r0 = 1\nout: exit", "two.s")
    assert str(mistake) == (
        "two.s:3:1: error[asm-label-duplicate]: label out is defined twice in main\n"
        "   3 | out: exit\n"
        "     | ^^^\n"
        "   note: two.s:2:1: the first one is here\n"
        "   2 | out: r0 = 1\n"
        "     | ^^^"
    )


def test_a_file_that_is_not_utf_8_is_told_where(tmp_path: Path) -> None:
    path = tmp_path / "latin.s"
    path.write_bytes(b"r0 = 0\nexit # caf\xe9\n")
    with pytest.raises(EbpfError) as caught:
        ebpfasm.open(path)
    assert str(caught.value) == (
        f"{path}:2:11: error[file-encoding]: byte 0xe9 is not UTF-8 text\n"
        "   2 | exit # caf\ufffd\n"
        "     |           ^\n"
        "   hint: save the file as UTF-8"
    )


def test_a_file_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EbpfError) as caught:
        ebpfasm.open(tmp_path / "none.s")
    message = f"error[file-missing]: {tmp_path / 'none.s'}: no such file or directory"
    assert str(caught.value) == message


# Law: text raises nothing but AsmError, whatever it is. Words that mean something reach
# deeper than letters do, so half of the texts are made of those.
VOCABULARY = """
r0 r1 r10 r11 w0 w9 = += s>>= - + * ( ) [ ] u8 u32 s16 u64 ll goto gotol if call exit lock skb
0 1 -1 0x10 0xffffffff 70000 99999999999999999999 08 'a' out out: f: pc+1 , ; # // /* */ "
.section .map .text .license .globl array hash key= value=u64 max_entries=5 | @function
bpf_map_lookup_elem xchg_64 cmpxchg32_32 atomic_fetch_add be16 bswap64 load_acquire ld_pseudo
store_release may_goto gotox callx addr_space_cast btf_id == s< & XDP_PASS xdp_md.data
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=14).map(" ".join)))
def test_no_text_raises_anything_but_asm_error(text: str) -> None:
    for mistake in mistakes(text):
        assert mistake.span is not None
        assert str(mistake)
