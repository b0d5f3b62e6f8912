"""BTF both ways: by law, by damage, and by bpftool and clang as judges."""

from __future__ import annotations

import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.btf import codec
from ebpfasm.btf import types as t
from ebpfasm.btf.codec import decode, decode_strings, encode
from ebpfasm.btf.strings import StringTable
from ebpfasm.btf.types import Btf, BtfType, ByteOrder
from ebpfasm.errors import BtfError
from tests.support import find_tool

ORDERS: tuple[ByteOrder, ByteOrder] = ("little", "big")
VMLINUX = Path("/sys/kernel/btf/vmlinux")

IDS = st.SearchStrategy[int]
U32 = st.integers(0, (1 << 32) - 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


def _ranges(width: int, signed: bool) -> tuple[int, int]:
    return (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)


@st.composite
def _enums(draw: st.DrawFn, kind: type[t.Enum] | type[t.Enum64]) -> BtfType:
    signed = draw(st.booleans())
    numbers = st.integers(*_ranges(32 if kind is t.Enum else 64, signed))
    values = draw(st.lists(st.builds(t.Enumerator, NAMES, numbers), max_size=3))
    return kind(draw(NAMES), draw(U32), tuple(values), signed)


@st.composite
def _structs(draw: st.DrawFn, kind: type[t.Struct] | type[t.Union], ids: IDS) -> BtfType:
    if draw(st.booleans()):
        member = st.builds(t.Member, NAMES, ids, U32)
    else:
        member = st.builds(t.Member, NAMES, ids, st.integers(0, 0xFF_FFFF), st.integers(0, 255))
    return kind(draw(NAMES), draw(U32), tuple(draw(st.lists(member, max_size=3))))


def _tuples(strategy: st.SearchStrategy[t.Param]) -> st.SearchStrategy[tuple[t.Param, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


def _types(ids: IDS) -> st.SearchStrategy[BtfType]:
    places = st.lists(st.builds(t.SecVar, ids, U32, U32), max_size=3).map(tuple)
    byte = st.integers(0, 255)
    return st.one_of(
        st.builds(t.Int, NAMES, U32, byte, st.integers(0, 15), byte),
        st.builds(t.Ptr, ids),
        st.builds(t.Array, ids, ids, U32),
        _structs(t.Struct, ids),
        _structs(t.Union, ids),
        _enums(t.Enum),
        st.builds(t.Fwd, NAMES, st.booleans()),
        st.builds(t.Typedef, NAMES, ids),
        st.builds(t.Volatile, ids),
        st.builds(t.Const, ids),
        st.builds(t.Restrict, ids),
        st.builds(t.Func, NAMES, ids, st.integers(0, 2)),
        st.builds(t.FuncProto, ids, _tuples(st.builds(t.Param, NAMES, ids))),
        st.builds(t.Var, NAMES, ids, st.integers(0, 2)),
        st.builds(t.DataSec, NAMES, U32, places),
        st.builds(t.Float, NAMES, U32),
        st.builds(t.DeclTag, NAMES, ids, st.integers(*_ranges(32, True)), st.booleans()),
        st.builds(t.TypeTag, NAMES, ids, st.booleans()),
        _enums(t.Enum64),
    )


@st.composite
def tables(draw: st.DrawFn) -> Btf:
    """Any table whose references lead somewhere."""
    count = draw(st.integers(0, 8))
    kinds = _types(st.integers(0, count))
    return Btf(tuple(draw(st.lists(kinds, min_size=count, max_size=count))))


SMALL = Btf((
    t.Int("int", 4, 32, t.IntEncoding.SIGNED),
    t.Int("unsigned char", 1, 8),
    t.Int("_Bool", 1, 8, t.IntEncoding.BOOL),
    t.Ptr(1),
    t.Array(2, 1, 6),
    t.Struct("frame", 16, (
        t.Member("address", 5, 0),
        t.Member("low", 1, 64, 3),
        t.Member("high", 1, 67, 29),
    )),
    t.Union("", 8, (t.Member("number", 1, 0), t.Member("frame", 4, 0))),
    t.Enum("verdict", 4, (t.Enumerator("DROP", -1), t.Enumerator("PASS", 2)), signed=True),
    t.Fwd("hidden"),
    t.Fwd("hidden_union", union=True),
    t.Typedef("frame_t", 6),
    t.Volatile(1),
    t.Const(13),
    t.Restrict(4),
    t.FuncProto(1, (t.Param("ctx", 4), t.Param("", 0))),
    t.Func("run", 15, t.FuncLinkage.GLOBAL),
    t.Var("counter", 1, t.VarLinkage.GLOBAL_ALLOCATED),
    t.DataSec(".bss", 4, (t.SecVar(17, 0, 4),)),
    t.Float("double", 8),
    t.DeclTag("exported", 16),
    t.DeclTag("user", 6, 1),
    t.TypeTag("rcu", 6),
    t.Enum64("big", 8, (t.Enumerator("HIGH", 0xFFFFFFFF_00000001), t.Enumerator("LOW", 1))),
))  # fmt: skip

DUMP = """\
[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED
[2] INT 'unsigned char' size=1 bits_offset=0 nr_bits=8 encoding=(none)
[3] INT '_Bool' size=1 bits_offset=0 nr_bits=8 encoding=BOOL
[4] PTR '(anon)' type_id=1
[5] ARRAY '(anon)' type_id=2 index_type_id=1 nr_elems=6
[6] STRUCT 'frame' size=16 vlen=3
\t'address' type_id=5 bits_offset=0
\t'low' type_id=1 bits_offset=64 bitfield_size=3
\t'high' type_id=1 bits_offset=67 bitfield_size=29
[7] UNION '(anon)' size=8 vlen=2
\t'number' type_id=1 bits_offset=0
\t'frame' type_id=4 bits_offset=0
[8] ENUM 'verdict' encoding=SIGNED size=4 vlen=2
\t'DROP' val=-1
\t'PASS' val=2
[9] FWD 'hidden' fwd_kind=struct
[10] FWD 'hidden_union' fwd_kind=union
[11] TYPEDEF 'frame_t' type_id=6
[12] VOLATILE '(anon)' type_id=1
[13] CONST '(anon)' type_id=13
[14] RESTRICT '(anon)' type_id=4
[15] FUNC_PROTO '(anon)' ret_type_id=1 vlen=2
\t'ctx' type_id=4
\t'(anon)' type_id=0
[16] FUNC 'run' type_id=15 linkage=global
[17] VAR 'counter' type_id=1, linkage=global
[18] DATASEC '.bss' size=4 vlen=1
\ttype_id=17 offset=0 size=4 (VAR 'counter')
[19] FLOAT 'double' size=8
[20] DECL_TAG 'exported' type_id=16 component_idx=-1
[21] DECL_TAG 'user' type_id=6 component_idx=1
[22] TYPE_TAG 'rcu' type_id=6
[23] ENUM64 'big' encoding=UNSIGNED size=8 vlen=2
\t'HIGH' val=18446744069414584321ULL
\t'LOW' val=1ULL
"""


@pytest.mark.parametrize("order", ORDERS)
@given(btf=tables())
def test_what_is_encoded_decodes_to_the_same(order: ByteOrder, btf: Btf) -> None:
    assert decode(encode(btf, order)) == btf


def test_the_sample_holds_every_kind() -> None:
    assert {type(each) for each in SMALL.types} == set(get_args(BtfType))


def _dump(path: Path) -> str:
    command = [find_tool("bpftool"), "btf", "dump", "file", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("order", ORDERS)
def test_bpftool_reads_every_kind_that_we_write(order: ByteOrder, tmp_path: Path) -> None:
    raw = tmp_path / "small.btf"
    raw.write_bytes(encode(SMALL, order))

    assert _dump(raw) == DUMP


C_FILE = """
#define TAG(x) __attribute__((btf_decl_tag(x)))
enum colour { RED = -1, GREEN = 7 };
enum wide { HUGE = 0x100000000ULL };
struct node;
union both { float f; double d; };
struct node {
    struct node *next; const volatile int *restrict value; unsigned bits : 5, more : 27;
    union both both; enum colour colour; enum wide wide; char name[16];
} TAG("a struct");
typedef struct node node_t;
int counter __attribute__((section(".data.mine")));
static int __attribute__((noinline)) inner(struct node *n TAG("an argument"), int many, ...)
{ return n->more + many; }
int outer(node_t *n) { counter++; return inner(n, 1, 2); }
"""


@pytest.mark.tool("clang", "llvm-objcopy", "bpftool")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_what_clang_writes_is_read_and_written_back(target: str, tmp_path: Path) -> None:
    source, ours = tmp_path / "types.c", tmp_path / "ours.btf"
    source.write_text(C_FILE)
    original = _clang_btf(source, target)
    btf = decode(original)
    ours.write_bytes(encode(btf, "little" if target == "bpfel" else "big"))

    assert decode(ours.read_bytes()) == btf
    assert _dump(ours) == _dump(_original(source))
    names = {type(each).__name__ for each in btf.types}
    assert {"Struct", "Union", "Enum", "Enum64", "DeclTag", "Float", "Func", "DataSec"} <= names


def _original(source: Path) -> Path:
    return source.with_suffix(".btf")


def _clang_btf(source: Path, target: str) -> bytes:
    built, raw = source.with_suffix(".o"), _original(source)
    options = f"-target {target} -g -O2 -Wno-everything -c".split()
    subprocess.run(
        [find_tool("clang"), *options, str(source), "-o", str(built)], check=True, timeout=60
    )
    dump = [find_tool("llvm-objcopy"), f"--dump-section=.BTF={raw}", str(built)]
    subprocess.run(dump, check=True, timeout=60)
    return raw.read_bytes()


@pytest.mark.slow
@pytest.mark.tool("bpftool")
def test_the_kernels_own_types_are_read_and_written_back(tmp_path: Path) -> None:
    if not VMLINUX.exists():
        pytest.skip("this kernel was built without BTF of its own")
    btf = decode(VMLINUX.read_bytes())
    ours = tmp_path / "ours.btf"
    ours.write_bytes(encode(btf))

    assert decode(ours.read_bytes()) == btf
    assert _dump(ours) == _dump(VMLINUX)


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_btf_raise_nothing_but_btf_error(data: bytes) -> None:
    for head in (b"", b"\x9f\xeb\x01\0\x18\0\0\0", b"\xeb\x9f\x01\0\0\0\0\x18"):
        with suppress(BtfError):
            decode(head + data)


@settings(max_examples=400)
@given(
    order=st.sampled_from(ORDERS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
)
def test_damaged_btf_raises_nothing_but_btf_error(
    order: ByteOrder, changes: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(encode(SMALL, order))
    for place, value in changes:
        data[int(place * len(data))] = value
    whole = bytes(data if cut > 0.5 else data[: int(cut * 2 * len(data))])
    try:
        btf = decode(whole)
    except BtfError:
        return

    assert decode(encode(btf)) == btf


def test_each_string_is_stored_once() -> None:
    btf = Btf((t.Int("twice", 4, 32), t.Typedef("twice", 1), t.Float("once", 4)))
    data = encode(btf)

    assert data.endswith(b"\0twice\0once\0")
    assert data.count(b"twice") == 1


def test_strings_may_hold_texts_that_no_type_names() -> None:
    strings = StringTable()
    place = strings.add("r0 = 0")
    data = encode(Btf((t.Fwd("x"),)), strings=strings)

    assert decode_strings(data).at(place) == "r0 = 0"
    assert decode(data) == Btf((t.Fwd("x"),))


def test_names_that_are_not_utf_8_survive() -> None:
    data = encode(Btf((t.Fwd("x_x"),))).replace(b"x_x", b"x\xffx")

    assert decode(data) == Btf((t.Fwd("x\udcffx"),))
    assert encode(decode(data)) == data


def test_a_longer_header_is_taken() -> None:
    """Linux 7.1 adds two fields to it: where the kinds' layouts are."""
    data = encode(Btf((t.Fwd("x"),)))
    longer = data[:4] + struct.pack("<I", 32) + data[8:24] + bytes(8) + data[24:]

    assert decode(longer) == Btf((t.Fwd("x"),))


def _patched(at: int, value: int, width: int = 4) -> bytes:
    data = bytearray(encode(Btf((t.Ptr(2), t.Int("n", 4, 32)))))
    data[at : at + width] = value.to_bytes(width, "little")
    return bytes(data)


# The sample's layout: header 24 bytes, PTR at 24, INT at 36, strings "\0n\0" at 52.
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes hold no BTF header"),
        (bytes(24), "BTF begins with 0xeb9f in either byte order, not 0000"),
        (_patched(2, 2, 1), "BTF version 2 with flags 0x0 is not known"),
        (_patched(4, 8), "a header of 8 bytes is too short"),
        (_patched(12, 4000), "the sections end beyond the 55 bytes that there are"),
        (_patched(12, 30), "the type section is no whole number of words"),
        (_patched(12, 16), "type 2 is cut short"),
        (_patched(12, 24), "type 2, INT, is cut short"),
        (_patched(28, 20 << 24), "type 1 is of kind 20, which is not known"),
        (_patched(24, 1), "type 1, PTR, has a reserved field that is not zero"),
        (_patched(28, 2 << 24 | 1), "type 1, PTR, has a reserved field that is not zero"),
        (_patched(28, 1 << 31 | 2 << 24), "type 1, PTR, has a reserved field that is not zero"),
        (_patched(48, 0x100), "type 2, INT, has a reserved field that is not zero"),
        (_patched(32, 3), "type 1 refers to type 3 of 2"),
        (_patched(36, 3), "string offset 3 is outside the section of 3 bytes"),
        (_patched(54, 1, 1), "the string section does not begin and end in a zero byte"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BtfError) as refused:
        decode(data)

    assert str(refused.value) == f"error[btf-format]: {message}"


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (t.Int("n", 4, 256), "Int n: 256 is outside 0 to 255"),
        (t.Int("n", 1 << 32, 32), "Int n: type 1 holds a number that does not fit 32 bits"),
        (t.Enum("e", 4, (t.Enumerator("A", -1),)), "Enum e: -1 is outside 0 to 4294967295"),
        (
            t.Enum("e", 4, (t.Enumerator("A", 1 << 31),), signed=True),
            "Enum e: 2147483648 is outside -2147483648 to 2147483647",
        ),
        (
            t.Struct("s", 4, (t.Member("m", 0, 1 << 24, 3),)),
            "Struct s: 16777216 is outside 0 to 16777215",
        ),
        (t.Func("f", 0, -1), "Func f: -1 is outside 0 to 16777215"),
        (t.Fwd("a\0b"), "'a\\x00b' holds a zero character"),
        (t.Fwd("a\ud800"), "'a\\ud800' cannot be written in UTF-8"),
    ],
)
def test_a_number_or_name_that_does_not_fit_is_refused(each: BtfType, message: str) -> None:
    with pytest.raises(BtfError) as refused:
        encode(Btf((each,)))

    assert str(refused.value) == f"error[btf-range]: {message}"


def test_a_reference_to_no_type_is_refused() -> None:
    with pytest.raises(BtfError) as refused:
        encode(Btf((t.Ptr(2),)))

    assert str(refused.value) == "error[btf-format]: type 1 refers to type 2 of 1"


def test_types_are_found_by_id_and_by_kind_and_name() -> None:
    assert SMALL.get(0) is None
    assert SMALL.get(16) == t.Func("run", 15, t.FuncLinkage.GLOBAL)
    assert SMALL.find(t.Struct, "frame") == 6
    assert SMALL.find(t.Union, "frame") is None
    with pytest.raises(BtfError) as refused:
        SMALL.get(24)
    assert str(refused.value) == "error[btf-format]: there is no type 24"


def test_every_kind_has_a_number_a_shape_and_a_reader() -> None:
    assert list(codec.SHAPES) == list(range(1, 20))
    assert codec._READERS.keys() == codec.SHAPES.keys()
