"""The mnemonic dialect: read, printed, and judged by GNU as."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm import ir
from ebpfasm.asm import print_collection, print_program, text_of
from ebpfasm.asm.reading.dialects import detect
from ebpfasm.asm.writing import mnemonic_printer
from ebpfasm.errors import AsmError, Diagnostic, NotSupported
from ebpfasm.ir import Instruction, Label, instruction
from ebpfasm.isa import codec
from ebpfasm.isa.forms import Form
from ebpfasm.isa.mnemonics import ALIASES, BY_MNEMONIC, PRINTED, SIZED, rows_of
from ebpfasm.isa.table import BY_NAME, TABLE
from tests.asm.test_ring import EVERY, samples
from tests.expectations import check
from tests.support import DATA, ROOT, find_tool

FILES = sorted((DATA / "errors" / "mnemonic").glob("*.s"))


def read(text: str) -> ir.CollectionSpec:
    return ebpfasm.assemble(text, dialect="mnemonic")


def main_of(text: str) -> tuple[ir.Item, ...]:
    return tuple(read(text).programs["main"].instructions)


def only(text: str) -> ir.Item:
    (found,) = main_of(text)
    return found


def mistakes(text: str, name: str = "<string>") -> tuple[Diagnostic, ...]:
    try:
        ebpfasm.assemble(text, dialect="mnemonic", name=name)
    except AsmError as problem:
        return problem.diagnostics
    return ()


# The ring ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", EVERY)
def test_what_is_printed_is_read_back(each: Instruction) -> None:
    for plain in (False, True):
        text = mnemonic_printer.text_of(each, plain=plain)
        assert only(text) == each, text


def test_mnemonic_and_operands_tell_every_row_from_the_others() -> None:
    kinds = {"{dst}": "register", "{src}": "register"}
    shapes = [
        (PRINTED[spec.name], *(kinds.get(each, each) for each in operands))
        for spec in TABLE
        for operands in [spec.form.mnemonic_syntax.split(", ")]
    ]
    assert len(set(shapes)) == len(TABLE)


def test_no_alias_hides_a_mnemonic_and_each_leads_to_one() -> None:
    assert not ALIASES.keys() & BY_MNEMONIC.keys()
    assert {*ALIASES.values(), *SIZED.values()} <= BY_MNEMONIC.keys()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("add64 r1, 2", "add %r1, 2"),
        ("ADD %R1, 0x2", "add %r1, 2"),
        ("mov64 %fp, %r1", "mov %r10, %r1"),
        ("neg64 %r1", "neg %r1"),
        ("swap16 %r1", "bswap16 %r1"),
        ("bswap %r1, 64", "bswap64 %r1"),
        ("endbe %r1, 16", "be16 %r1"),
        ("endle %r1, 32", "le32 %r1"),
        ("movs %r1, %r2, 32", "movsx3264 %r1, %r2"),
        ("movs32 %r1, %r2, 8", "movsx832 %r1, %r2"),
        ("jal out\nout:", "ja32 out\nout:"),
        ("ja 3", "ja +3"),
        ("xaddw [%r1+8], %r2", "lock add32 [%r1+8], %r2"),
        ("xadddw [%r1+8], %r2", "lock add [%r1+8], %r2"),
        ("aor32 [%r1+8], %r2", "lock or32 [%r1+8], %r2"),
        ("afxor [%r1+8], %r2", "lock fetch xor [%r1+8], %r2"),
        ("axchg [%r1+8], %r2", "lock xchg [%r1+8], %r2"),
        ("acmp32 [%r1+8], %r2", "lock cmpxchg32 [%r1+8], %r2"),
        ("lock  fetch\tadd [%r1+8],%r2", "lock fetch add [%r1+8], %r2"),
        ("call helper 5", "call 5"),
        ("callx %r2", "call %r2"),
        ("call helper %r2", "call %r2"),
        ("call runtime 7, 0", "call runtime 7"),
        ("ldxw %r1, [ %r2 + -5 ]", "ldxw %r1, [%r2-5]"),
        ("ldxw %r1, [%r2]", "ldxw %r1, [%r2+0]"),
        ("mov %r1, XDP_DROP", "mov %r1, 1"),
        ("mov %r1, 0xffffffff", "mov %r1, -1"),
        ("lddw %r1, 0xffffffffffffffff", "lddw %r1, -1"),
        ("ldxw %r1, [%r2+xdp_md.data_end]", "ldxw %r1, [%r2+4]"),
    ],
)
def test_other_ways_to_write_it_are_taken(text: str, same: str) -> None:
    assert main_of(text) == main_of(same)


# GNU as -----------------------------------------------------------------------------------------


@cache
def gnu_has_dialects() -> bool:
    """Whether GNU as is from binutils 2.41 on, where it took in sign extension and atomics."""
    done = subprocess.run([find_tool("bpf-as"), "--help"], capture_output=True, text=True)
    return "-mdialect" in done.stdout


def gnu_lacks() -> set[str]:
    """Rows that GNU as cannot write: Linux's own, and what its version does not know yet."""
    lacks = {spec.name for spec in TABLE if spec.group == "linux"}
    lacks |= {spec.name for spec in TABLE if spec.form is Form.LOAD_PSEUDO}
    lacks |= {"call_local", "call_kfunc"}  # written through relocations only
    if not gnu_has_dialects():
        lacks |= {spec.name for spec in TABLE if spec.cpu == "v4" and spec.op != "st"}
        added = ("atomic_add32", "atomic_add64")
        lacks |= {s.name for s in TABLE if s.group.startswith("atomic") and s.name not in added}
    return lacks


def gnu_text(each: Instruction) -> str:
    """The instruction as GNU as wants it, where it has a name of its own."""
    own = {
        printed: alias
        for alias, printed in ALIASES.items()
        if alias == "jal" or (alias[0] == "a" and printed.startswith("lock "))
    }
    if not gnu_has_dialects():
        own |= {"lock add": "xadddw", "lock add32": "xaddw"}
    text = mnemonic_printer.text_of(each, plain=True)
    printed = PRINTED[each.spec.name]
    for (word, size), sized in SIZED.items():
        if sized == printed:
            return f"{text.replace(printed, word)}, {size}"
    # Old versions take no minus sign before the offset.
    return re.sub(r"\[(%r\d+)-", r"[\1+-", text.replace(printed, own.get(printed, printed)))


def gnu_bytes(text: str, flag: str, folder: Path) -> bytes:
    source, target, code = (folder / name for name in ("code.s", "code.o", "code.bin"))
    source.write_text(text)
    dialect = ["-mdialect=normal", "-mno-relax"] if gnu_has_dialects() else []
    assembler = [find_tool("bpf-as"), flag, *dialect]
    subprocess.run([*assembler, str(source), "-o", str(target)], check=True)
    copy = [find_tool("bpf-objcopy"), "-O", "binary", "-j", ".text", str(target), str(code)]
    subprocess.run(copy, check=True)
    return code.read_bytes()


@pytest.mark.tool("bpf-as")
@pytest.mark.parametrize(("byteorder", "flag"), [("little", "-EL"), ("big", "-EB")])
def test_bytes_are_gnu_as_s_for_every_row_that_it_knows(
    byteorder: codec.ByteOrder, flag: str, tmp_path: Path
) -> None:
    lacks = gnu_lacks()
    rows = [each for spec in TABLE if spec.name not in lacks for each in samples(spec)]
    text = "".join(f"{gnu_text(each)}\n" for each in rows)
    theirs = gnu_bytes(text, flag, tmp_path)
    ours = b"".join(codec.encode(*each.fields, byteorder=byteorder) for each in rows)
    assert ours.hex(" ", 8).split() == theirs.hex(" ", 8).split()
    assert list(main_of(text)) == rows  # and its own spelling is read
    assert {each.spec.name for each in rows} | lacks == set(BY_NAME)


@pytest.mark.tool("bpf-as")
def test_comments_and_statements_end_where_gnu_as_ends_them(tmp_path: Path) -> None:
    text = (
        "mov %r0, 1 ; a comment /* not opened\n"
        "; mov %r0, 2\n# mov %r0, 3\n"
        "mov %r0, 4 ` mov %r0, 5\n"
        "mov %r0, /* in the middle */ 6 /* over\nlines */\n"
        "1: mov %r0, 010\n"
    )
    assert gnu_bytes(text, "-EL", tmp_path) == ebpfasm.encode(read(text).programs["main"])


# What files mean --------------------------------------------------------------------------------


def test_the_first_exit_is_called_exit_where_no_label_is() -> None:
    main = main_of("jne %r1, 2, exit\nmov %r0, 1\nexit\nja exit\nexit")
    assert [item for item in main if isinstance(item, Label)] == [Label("exit")]
    linked = ir.link(read("jne %r1, 2, exit\nmov %r0, 1\nexit\nja exit\nexit").programs["main"])
    assert [each.off for each in linked.instructions] == [1, 0, 0, -2, 0]


def test_a_label_called_exit_is_taken_where_it_stands() -> None:
    linked = ir.link(read("ja exit\nmov %r0, 1\nexit\nexit: mov %r0, 2\nexit").programs["main"])
    assert linked.instructions[0].off == 2


def test_without_a_jump_there_no_label_exit_comes_up() -> None:
    assert main_of("mov %r0, 1\nexit") == (instruction("mov64_imm", imm=1), instruction("exit"))


def test_functions_helpers_kernel_functions_and_registers_are_called() -> None:
    spec = read(
        """
        .section xdp
        f:  call 5
            call bpf_ktime_get_ns
            call local g
            call g
            call runtime 7
            call runtime 7, 3
            call %r2
            exit
        .text
        g:  call local +0
            exit
        """
    )
    g = instruction("call_local", ref=ir.FunctionRef("g"))
    assert spec.programs["f"].instructions == (
        instruction("call_helper", imm=5),
        instruction("call_helper", imm=5),
        g,
        g,
        instruction("call_kfunc", imm=7),
        instruction("call_kfunc", imm=7, off=3),
        instruction("callx", dst=2),
        instruction("exit"),
    )
    (function,) = spec.programs["f"].functions
    assert function.instructions[0] == instruction("call_local")


def test_maps_and_functions_have_addresses() -> None:
    spec = read(
        """
        .map m, array, key=u32, value=u64, max_entries=1
        .section xdp
        f:  lddw %r1, m
            lddw %r2, callback
            exit
        .text
        callback: exit
        """
    )
    assert spec.programs["f"].instructions[:2] == (
        instruction("lddw_map_fd", dst=1, ref=ir.MapRef("m")),
        instruction("lddw_func", dst=2, ref=ir.FunctionRef("callback")),
    )


def test_labels_may_have_the_names_of_instructions_and_words() -> None:
    for name in ("lock", "call", "add", "fetch", "local", "exit", "if", ".L1", "a.b", "r1_x"):
        main = main_of(f"mov %r0, 0\n{name}: ja {name}")
        assert main[1:] == (Label(name), instruction("ja", ref=ir.LabelRef(name)))


TEXTS = [
    (ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s").read_text(),
    """
    .license "GPL"
    .map m, hash, key=u32, value=u64, max_entries=8
    .section xdp
    again: if r1 == 0 goto again
    call sub
    if w2 s> 5 goto +1
    goto exit
    r1 = m ll
    exit: exit
    .text
    sub: r0 = cb ll; exit
    cb: exit
    """,
    """
    .section tc
    .globl a
    a: exit
    .globl b
    b: call 77; r1 = 5 ll; call pc+1; call btf_id(5, 1); exit
    """,
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_collection_is_the_same_in_either_dialect(text: str) -> None:
    spec = ebpfasm.assemble(text, dialect="llvm")
    printed = print_collection(spec, "mnemonic")
    assert read(printed) == spec
    assert ebpfasm.assemble(printed) == spec
    assert ebpfasm.assemble(print_collection(read(printed))) == spec
    for program in spec.programs.values():
        again = read(print_program(program, "mnemonic")).programs[program.name]
        assert again.instructions == program.instructions


def test_bytes_are_disassembled_in_the_dialect_that_is_asked_for() -> None:
    code = ebpfasm.encode(
        ebpfasm.assemble("r0 = 1; if r0 == 1 goto out; out: exit").programs["main"]
    )
    assert ebpfasm.disassemble(code, dialect="mnemonic") == (
        ".globl main\nmain:\n    mov %r0, 1\n    jeq %r0, 1, L1\nL1:\n    exit\n"
    )


def dialect_rows() -> list[tuple[str, str]]:
    page = (ROOT / "docs" / "assembly.md").read_text()
    table = page.partition("| | llvm | mnemonic |")[2].partition("\n\n")[0]
    return re.findall(r"^\| [^|]* \| `(.*)` \| `(.*)` \|$", table, re.MULTILINE)


def test_the_documented_pairs_are_the_same_instruction_in_both_dialects() -> None:
    rows = dialect_rows()
    forms = set()
    for llvm, mnemonic in rows:
        (each,) = ebpfasm.assemble(llvm, dialect="llvm").programs["main"].instructions
        assert only(mnemonic) == each
        assert isinstance(each, Instruction)
        forms.add(each.spec.form)
    assert {Form.ALU_IMM, *Form} - forms <= {Form.ALU_REG, Form.MOV_IMM, Form.XCHG, Form.CMPXCHG32}


# Telling the dialects apart ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "mov %r0, 1\nexit",
        "mov r0, 1\nexit",
        "# r0 = 1\n; r0 = 1\n// r0 = 1\n/* r0 = 1\nr1 = 1 */ start: add32 %r0, 1",
        "call 5\nexit\nexit\nldxw r1, [r1+4]",
        "exit\ncall local f\nf: exit",
        "call %r2",
        "lock add [%r1+0], %r2",
        ".section xdp\nf: neg r1\nexit",
        "mvo %r1, 2",
        "be16 r1",
        "ja +1",
        "exit\n" * 5000 + "neg %r1",
    ],
)
def test_a_text_of_mnemonics_is_told(text: str) -> None:
    assert detect(text) == "mnemonic"


@pytest.mark.parametrize(
    "text",
    [
        "r0 = 1; exit",
        "w1 s>>= 2",
        "r1 %= 2",
        "r1 s%= r2",
        "goto out\nout: exit",
        "if r1 == 5 goto +1",
        "*(u32 *)(r1 + 0) = 5",
        "lock *(u32 *)(r1 + 0) += r2",
        "call pc+1",
        # What could be either.
        "",
        "exit",
        "call 5; exit",
        "out: call bpf_ktime_get_ns\nmay_goto out\nexit",
        '.license "GPL"',
        "add = 5",
        # One line from elsewhere.
        "mov r1, 2\nr0 = 1\nr0 += 2\nexit",
    ],
)
def test_a_text_that_is_llvm_s_or_could_be_either_is_told_as_llvm_s(text: str) -> None:
    assert detect(text) == "llvm"


@pytest.mark.parametrize("row", EVERY)
def test_each_row_tells_its_dialect_or_could_be_either(row: Instruction) -> None:
    assert detect(text_of(row, plain=True)) == "llvm"
    either = {"exit", "may_goto", "call_helper"}
    told = detect(mnemonic_printer.text_of(row, plain=True))
    assert told == ("llvm" if row.spec.name in either else "mnemonic")


def test_a_dialect_that_does_not_exist_is_refused() -> None:
    with pytest.raises(NotSupported) as caught:
        ebpfasm.assemble("exit", dialect="intel")
    assert str(caught.value) == (
        "error[not-supported]: the dialect 'intel' is not supported here\n"
        "   hint: dialects are llvm and mnemonic; auto is for reading"
    )


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_told_of_all_its_mistakes_and_no_others(path: Path, bless: bool) -> None:
    check(path, mistakes(path.read_text(encoding="utf-8"), path.name), bless)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ldxq %r1, [%r2+0]", "did you mean ldxw?"),
        ("addd %r1, 2", "did you mean add?"),
        ("r1 = 2", "this dialect writes a word first, as in mov %r1, 5 and ldxw %r1, [%r2+4]"),
        ("lock", "write lock add, or, and, xor, xchg or cmpxchg; fetch before the first four"),
        ("add32 w1, 2", "write %r1; the mnemonic says how many bits are meant"),
        ("mov %r1", "write mov DST, NUMBER or mov DST, SRC"),
        ("ldxw %r1, %r2", "write ldxw DST, [BASE+OFFSET]"),
        ("call", "write call NUMBER or call DST"),
        (
            "mov %r1, 4294967295",
            "a number meant as unsigned is written in hexadecimal: 0xffffffff",
        ),
        (
            "mov %r0, 1; exit",
            "give the instruction a line of its own, or begin the comment with #",
        ),
        ("call local bpf_ktime_get_ns\nexit\nbpf_ktime_get_n: exit", None),
        (".sektion xdp", "did you mean .section?"),
    ],
)
def test_the_mend_is_named_where_one_is_near(text: str, hint: str | None) -> None:
    assert hint in [each.hint for each in mistakes(text)]


def test_the_rows_of_a_word_are_those_of_its_alias() -> None:
    assert rows_of("acmp") == (BY_NAME["cmpxchg64"],)
    assert rows_of("frob") == ()


VOCABULARY = """
%r0 %r1 r10 %r11 %fp w0 [ ] [%r1+8] [%r2-4] , + - * ( ) % add add32 mov64 neg be16 endbe bswap
movs 16 ldxdw ldxsb stxb stw lddw lddw_func lock fetch xchg cmpxchg32 aadd call local runtime
helper callx exit ja ja32 jeq jset32 may_goto gotox addr_space_cast ldabsw ldindb load_acquire8
0 1 -1 0x10 0xffffffff 70000 99999999999999999999 08 'a' out out: exit: 1: 1b 2f ; # // /* */ " `
.section .map .text .license .globl array hash key= value=u64 max_entries=5 | @function
bpf_map_lookup_elem XDP_PASS xdp_md.data
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=14).map(" ".join)))
def test_no_text_raises_anything_but_asm_error(text: str) -> None:
    for mistake in mistakes(text):
        assert mistake.span is not None
        assert str(mistake)
