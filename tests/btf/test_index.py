"""The lazy index: native against plain, both against the table itself, and split BTF."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.btf import codec, scan
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.strings import StringSection
from ebpfasm.btf.types import (
    Btf,
    BtfType,
    ByteOrder,
    Enum,
    Enum64,
    Func,
    Int,
    Member,
    Ptr,
    Struct,
    Typedef,
    Union,
)
from ebpfasm.errors import BtfError, EbpfError
from tests.btf.test_codec import ORDERS, SMALL, tables
from tests.support import find_tool, need_native

VMLINUX = Path("/sys/kernel/btf/vmlinux")
NAMED = (Int, Struct, Union, Enum, Enum64, Typedef, Func)

FLAVOURS = Btf((
    Struct("task___old", 4, ()),
    Struct("task", 8, ()),
    Typedef("task", 2),
    Union("task___very___new", 8, ()),
    Struct("task____", 1, ()),
    Struct("___task", 1, ()),
    Struct("task__", 1, ()),
    Struct("", 1, ()),
))  # fmt: skip


@contextmanager
def way(name: str) -> Iterator[None]:
    """Index natively, or in Python alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EBPFASM_NO_NATIVE", "1" if name == "plain" else "0")
        patched.setattr(scan, "_FEW", 0)  # small tables go the same way as large ones
        yield


WAYS = pytest.mark.parametrize("name", ["native", "plain"])


def make(data: bytes, name: str, base: BtfIndex | None = None) -> BtfIndex:
    if name == "native":
        need_native()
    with way(name):
        found = BtfIndex(data, base)
    expected = scan.NativeScan if name == "native" else scan.PlainScan
    assert isinstance(found._scan, expected)
    return found


def by_hand(table: Btf, kind: type[BtfType], name: str) -> list[int]:
    return [
        number
        for number, each in enumerate(table.types, table.first_id)
        if isinstance(each, kind) and getattr(each, "name", "") == name != ""
    ]


@WAYS
@given(tables(), st.sampled_from(ORDERS))
@settings(max_examples=60, deadline=None)
def test_every_type_of_any_table_is_found(name: str, table: Btf, order: ByteOrder) -> None:
    index = make(codec.encode(table, order), name)
    assert len(index) == len(table.types)
    assert [index.get(each) for each in range(1, len(index) + 1)] == list(table.types)
    assert index.get(0) is None
    for each in table.types:
        text = getattr(each, "name", "")
        assert index.find(type(each), text) == by_hand(table, type(each), text)
        assert text in ["", *index.names]
        assert index.get(next(index.of_kind(type(each)))).__class__ is type(each)


@WAYS
def test_flavours_are_candidates_and_whole_names_are_not(name: str) -> None:
    index = make(codec.encode(FLAVOURS), name)
    assert index.find(Struct, "task") == [2]
    assert index.candidates((Struct,), "task") == [1, 2]
    assert index.candidates((Struct,), "task___mine") == [1, 2]
    assert index.candidates((Struct, Union, Typedef), "task") == [1, 2, 3]
    assert index.candidates((Union,), "task___very___x") == [4]
    assert index.find(Struct, "") == index.candidates((Struct,), "") == []
    assert index.names[:3] == ["task___old", "task", "task___very___new"]


def test_both_ways_agree_on_the_running_kernel() -> None:
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF")
    data = VMLINUX.read_bytes()
    native, plain = make(data, "native"), make(data, "plain")
    assert native._scan.at == plain._scan.at
    names = plain.names
    for each in ["task_struct", "list_head", "int", *names[:: len(names) // 3000]]:
        for kind in NAMED:
            assert native.find(kind, each) == plain.find(kind, each)
        assert native.candidates(NAMED, each) == plain.candidates(NAMED, each)


@WAYS
def test_more_types_of_one_name_than_fit_the_first_answer_are_all_found(name: str) -> None:
    table = Btf(tuple(Typedef("same", 0) for _ in range(100)))
    assert make(codec.encode(table), name).find(Typedef, "same") == list(range(1, 101))


@WAYS
@pytest.mark.parametrize("order", ORDERS)
def test_a_split_btf_goes_on_from_its_base(name: str, order: ByteOrder) -> None:
    base = make(codec.encode(SMALL, order), name)
    first = len(SMALL.types) + 1
    table = Btf(
        (
            Struct("frame", 16, (Member("number", 1, 0), Member("more", first + 1, 64))),
            Ptr(first),
            Struct("mine", 4, (Member("counter", 1, 0),)),
        ),
        base,
    )
    data = codec.encode(table, order)
    assert b"frame" not in data
    assert b"counter" not in data
    assert b"mine" in data
    assert codec.decode(data, base) == table
    index = make(data, name, base)
    assert (len(index), index.first_id) == (first + 2, first)
    assert index.find(Struct, "frame") == [6, first]
    assert index.candidates((Struct,), "frame___x") == [6, first]
    assert index.find(Struct, "mine") == [first + 2]
    assert index.get(1) == SMALL.types[0]
    assert index.get(first + 1) == Ptr(first)
    assert list(index.of_kind(Struct)) == [first, first + 2]
    assert table.get(1) == SMALL.types[0]
    assert table.get(first) == index.get(first)


@WAYS
def test_a_split_of_a_split_finds_names_in_both(name: str) -> None:
    lowest = make(codec.encode(Btf((Struct("a", 0, ()),))), name)
    middle = make(codec.encode(Btf((Struct("b", 0, ()),), lowest)), name, lowest)
    data = codec.encode(Btf((Struct("a", 1, ()), Struct("b", 1, ()), Struct("c", 1, ())), middle))
    with way(name):
        top = BtfIndex(data, middle)
    assert [top.find(Struct, each) for each in "abc"] == [[1, 3], [2, 4], [5]]
    assert top.get(5) == Struct("c", 1, ())


def test_the_index_is_made_of_a_value_a_file_or_bytes(tmp_path: Path) -> None:
    data = codec.encode(SMALL)
    path = tmp_path / "small.btf"
    path.write_bytes(data)
    for source in (SMALL, data, path, str(path)):
        assert BtfIndex.of(source).find(Struct, "frame") == [6]
    with pytest.raises(EbpfError, match=r"none\.btf: no such file or directory"):
        BtfIndex.of(tmp_path / "none.btf")
    path.write_bytes(b"\x7fELF and so on")
    with pytest.raises(BtfError, match="is a damaged ELF file"):
        BtfIndex.of(path)


@pytest.mark.tool("clang", "llvm-objcopy")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb", "i386", "x86_64", "mips"])
def test_the_btf_of_an_elf_file_is_its_section(target: str, tmp_path: Path) -> None:
    order: ByteOrder = "big" if target in ("bpfeb", "mips") else "little"
    raw, empty, whole = (tmp_path / each for each in ("raw", "empty.o", "whole.o"))
    raw.write_bytes(codec.encode(SMALL, order))
    clang = [find_tool("clang"), "-target", target, "-xc", "-", "-c", "-o", str(empty)]
    subprocess.run(clang, input=b"int x;", check=True)
    with pytest.raises(BtfError, match=r"empty\.o is an ELF file without a section \.BTF"):
        BtfIndex.of(empty)
    copy = [find_tool("llvm-objcopy"), f"--add-section=.BTF={raw}", str(empty), str(whole)]
    subprocess.run(copy, check=True)
    assert BtfIndex.of(whole).find(Struct, "frame") == [6]


@pytest.mark.tool("clang", "llvm-objcopy")
def test_a_split_btf_of_an_elf_file_goes_on_from_the_base_beside_it(tmp_path: Path) -> None:
    base = Btf((Int("int", 4, 32, 1),))
    parts = {
        ".BTF.base": codec.encode(base),
        ".BTF": codec.encode(Btf((Ptr(1),), BtfIndex.of(base))),
    }
    empty, whole = tmp_path / "empty.o", tmp_path / "module.ko"
    clang = [find_tool("clang"), "-target", "x86_64", "-xc", "-", "-c", "-o", str(empty)]
    subprocess.run(clang, input=b"int x;", check=True)
    copy = [find_tool("llvm-objcopy"), str(empty), str(whole)]
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
        copy.append(f"--add-section={name}={tmp_path / name}")
    subprocess.run(copy, check=True)
    found = BtfIndex.of(whole)
    assert (found.get(1), found.get(2)) == (Int("int", 4, 32, 1), Ptr(1))


@given(st.integers(0, 3), st.binary(max_size=200), st.integers(0, 200))
def test_an_elf_file_of_any_bytes_is_refused_in_words(bits: int, rest: bytes, cut: int) -> None:
    data = b"\x7fELF" + bytes([bits, 1]) + rest[:cut].ljust(60, b"\1") + rest[cut:]
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with pytest.raises(BtfError, match="ELF file"):
            BtfIndex.of(file.name)


@pytest.mark.parametrize("name", ["native", "plain"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda words: [*words, 0], "type 24 is cut short"),
        (lambda words: [*words, 0, 31 << 24, 0], "type 24 is of kind 31, which is not known"),
        (lambda words: [*words, 0, 100 << 24, 0], "type 24 is of kind 100, which is not known"),
        (lambda words: [*words, 0, 4 << 24 | 0xFFFFFF, 0], "type 24, STRUCT, is cut short"),
        (lambda words: [*words, 0, 3 << 24, 0, 1], "type 24, ARRAY, is cut short"),
    ],
)
def test_a_damaged_table_is_said_where(
    name: str, damage: Callable[[list[int]], list[int]], message: str
) -> None:
    data = codec.encode(SMALL)
    header = codec.read_header(data)
    begin, end = header.types
    words = damage(list(struct.unpack(f"<{(end - begin) // 4}I", data[begin:end])))
    types, strings = struct.pack(f"<{len(words)}I", *words), data[slice(*header.strings)]
    whole = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    with way(name), pytest.raises(BtfError, match=message):
        BtfIndex(whole + types + strings)


def test_a_wrong_name_spoils_nothing_but_its_own_type() -> None:
    data = bytearray(codec.encode(FLAVOURS))
    struct.pack_into("<I", data, 24, 0x7FFF_FFFF)
    for name in ("native", "plain"):
        index = make(bytes(data), name)
        assert index.candidates((Struct,), "task") == [2]
        with pytest.raises(BtfError, match="string offset 2147483647 is outside the section"):
            index.get(1)
        with pytest.raises(BtfError, match="there is no type 9"):
            index.get(9)


@WAYS
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_flipped_bits_raise_btf_error_only(name: str, data: st.DataObject) -> None:
    whole = bytearray(codec.encode(SMALL))
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), max_size=6)):
        whole[place // 8] ^= 1 << place % 8
    with suppress(BtfError), way(name):
        index = BtfIndex(bytes(whole[: data.draw(st.integers(0, len(whole)))] or whole))
        index.find(Struct, "frame")
        for each in range(len(index) + 1):
            with suppress(BtfError):
                index.get(each)


def test_texts_are_found_whole_only() -> None:
    section = StringSection(b"\0frame\0me\0")
    assert [section.find(each) for each in (b"", b"frame", b"me", b"fra", b"x")] == [
        0, 1, 7, None, None,
    ]  # fmt: skip


@pytest.mark.tool("bpftool")
def test_bpftool_reads_a_split_btf_that_was_written_here(tmp_path: Path) -> None:
    base, split = tmp_path / "base.btf", tmp_path / "split.btf"
    base.write_bytes(codec.encode(SMALL))
    index = BtfIndex.of(base)
    first = len(index) + 1
    mine = Struct("mine", 16, (Member("counter", 1, 0), Member("frame", 6, 64)))
    table = Btf((mine, Ptr(first)), index)
    split.write_bytes(codec.encode(table))
    command = [find_tool("bpftool"), "-B", str(base), "btf", "dump", "file", str(split)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [
        f"[{first}] STRUCT 'mine' size=16 vlen=2",
        "\t'counter' type_id=1 bits_offset=0",
        "\t'frame' type_id=6 bits_offset=64",
        f"[{first + 1}] PTR '(anon)' type_id={first}",
    ]
