"""Types as C: clang makes the same types of them again."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings

from ebpfasm.btf import codec
from ebpfasm.btf.c import Printer, print_types
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.naming import spelled
from ebpfasm.btf.types import (
    Array,
    Btf,
    BtfType,
    Composite,
    Const,
    DeclTag,
    Enum,
    Enum64,
    Enumerator,
    Float,
    FuncProto,
    Fwd,
    Int,
    IntEncoding,
    Member,
    Param,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    Types,
    TypeTag,
    Union,
    Volatile,
)
from ebpfasm.errors import BtfError
from tests.btf.core_judge import SOURCES, btf_of, compiled
from tests.btf.core_random import pair
from tests.btf.test_codec import tables
from tests.support import find_tool

VMLINUX = Path("/sys/kernel/btf/vmlinux")

INT = Int("int", 4, 32, IntEncoding.SIGNED)

SMALL: tuple[BtfType, ...] = (
    INT,
    Int("unsigned char", 1, 8),
    Struct("node", 24, (
        Member("next", 4, 0),
        Member("owner", 6, 64),
        Member("flags", 1, 128, 3),
        Member("more", 1, 131, 5),
        Member("last", 2, 176),
    )),
    Ptr(3),
    Struct("owner", 16, (Member("first", 3 + 4, 0), Member("", 8, 64))),
    Ptr(5),
    Ptr(14),
    Union("", 8, (Member("number", 1, 0), Member("pair", 9, 0))),
    Array(1, 1, 2),
    Const(2),
    Ptr(10),
    Const(11),
    Restrict(11),
    FuncProto(1, (Param("node", 4), Param("text", 12), Param("", 0))),
    Typedef("callback", 7),
    Enum("colour", 4, (Enumerator("RED", -1), Enumerator("BLUE", 5)), signed=True),
    Enum64("wide", 8, (Enumerator("LARGE", 1 << 40), Enumerator("RED", 3))),
    Struct("node", 5, (Member("byte", 2, 0), Member("number", 1, 8))),
    Fwd("elsewhere"),
    Ptr(19),
    Struct("holder", 64, (
        Member("there", 20, 0),
        Member("call", 15, 64),
        Member("embedded", 3, 128),
        Member("table", 22, 320),
        Member("tail", 24, 512),
    )),
    Array(23, 1, 3),
    Ptr(9),
    Array(18, 1, 0),
    TypeTag("user", 1),
    Ptr(25),
    Typedef("user_int", 26),
    Typedef("anonymous", 29),
    Struct("", 4, (Member("inside", 1, 0),)),
    Enum("", 4, (Enumerator("ALONE", 7),)),
    Typedef("callback", 1),
    Volatile(10),
    Typedef("fixed", 32),
    Enum("small", 1, (Enumerator("TINY", 1),)),
    Float("double", 8),
)  # fmt: skip


def test_a_small_table_reads_as_it_would_be_written() -> None:
    text = print_types(Btf(SMALL))
    for expected in (
        "struct owner;\n\nstruct node {\n\tstruct node *next;\n\tstruct owner *owner;\n"
        "\tint flags: 3;\n\tint more: 5;\n\tlong: 40;\n\tunsigned char last;\n};",
        "struct owner {\n\tint (*first)(struct node *node, const unsigned char *const text, ...);\n"
        "\tunion {\n\t\tint number;\n\t\tint pair[2];\n\t};\n};",
        "typedef int (*callback)(struct node *node, const unsigned char *const text, ...);",
        "enum colour {\n\tRED = -1,\n\tBLUE = 5,\n};",
        "enum wide {\n\tLARGE = 1099511627776LL,\n\tRED___2 = 3LL,\n} __attribute__((mode(DI)));",
        "struct node___2 {\n\tunsigned char byte;\n\tint number;\n} __attribute__((packed));",
        "struct elsewhere;",
        "\tint (*table[3])[2];",
        "\tstruct node___2 tail[0];",
        'typedef int __attribute__((btf_type_tag("user"))) *user_int;',
        "typedef struct {\n\tint inside;\n} anonymous;",
        "enum {\n\tALONE = 7,\n};",
        "typedef int callback___2;",
        "typedef volatile const unsigned char fixed;",
        "enum small {\n\tTINY = 1,\n} __attribute__((mode(byte)));",
    ):
        assert expected in text
    assert text.index("struct owner;") < text.index("struct node {") < text.index("struct holder {")
    assert "double" not in text


def test_only_what_is_asked_for_and_what_it_needs_is_written() -> None:
    assert print_types(Btf(SMALL), [15]) == (
        "struct node;\n\n"
        "typedef int (*callback)(struct node *node, const unsigned char *const text, ...);\n"
    )
    assert print_types(Btf(SMALL), [2]) == ""
    assert print_types(Btf(SMALL), [28], preserve_access_index=True).startswith(
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute push"
    )


def shape(types: Types, type_id: int, depth: int = 0) -> object:
    """A type's layout, all through: what two BTFs of the same C have alike."""
    each = types.get(type_id)
    assert depth < 20
    match each:
        case Struct() | Union():
            members = [
                (member.name, member.offset_bits, member.bitfield_size,
                 shape(types, member.type, depth + 1))
                for member in each.members
                if member.name or isinstance(types.get(member.type), Struct | Union)
            ]  # fmt: skip
            return type(each).__name__, each.name, each.size, members
        case Array():
            return each.nelems, shape(types, each.type, depth + 1)
        case Enum() | Enum64():
            return type(each).__name__, each.name, each.size, each.values
        case Const() | Volatile():
            return type(each).__name__, shape(types, each.type, depth + 1)
        case Typedef():
            return each.name, shape(types, each.type, depth + 1)
        case _:
            return spelled(types, type_id)


def again(types: BtfIndex, ids: list[int]) -> BtfIndex:
    """What clang makes of the printed types."""
    kept = "".join(f"{spelled(types, each)} *keep{each};\n" for each in ids)
    return btf_of(compiled(f"{print_types(types, ids)}\n{kept}long keep;\n", "-Wall", "-Werror"))


def same(types: BtfIndex) -> None:
    """Print all structs of a BTF and compile them again: the same layouts."""
    ids = [each for each in types.of_kind(Struct, Union, Typedef) if _name(types, each)]
    found = again(types, ids)
    for each in ids:
        found_type = types.get(each)
        assert found_type is not None
        (other,) = found.find(type(found_type), _name(types, each))
        assert shape(found, other) == shape(types, each)


def _name(types: Types, type_id: int) -> str:
    return getattr(types.get(type_id), "name", "")


@pytest.mark.tool("clang")
@pytest.mark.parametrize("seed", range(4))
def test_random_structs_are_the_same_after_a_round_through_c(seed: int) -> None:
    same(btf_of(compiled(pair(seed).target, "-w")))


PACKED = """
struct __attribute__((packed)) tight { char a; long b; int c : 3; int d : 20; short e; };
struct __attribute__((packed, aligned(4))) half_tight { char a; int b; short c; };
struct __attribute__((aligned(64))) line { int a; struct tight b; int c; };
struct gaps { char a; long : 0; char b : 3; int : 12; int c : 9;
              long d __attribute__((aligned(32))); };
struct holds { char a; struct line b; char c; struct half_tight d[3]; struct tight e; };
union __attribute__((packed)) mixed { char a[3]; short b; struct tight c; };
struct bits { unsigned char a : 5, b : 5; long c : 40; int d : 30; _Bool e : 1; unsigned f : 31; };
struct tail { int count; struct tight items[]; };
struct empty { };
struct with_empty { struct empty a; int b; struct empty c; };
struct pointers { int (*(*call)(void (*)(int), char *const *restrict))[3]; int *(*table[2])(void);
                  volatile int *const volatile p; const struct tail *q[4];
                  void (*last)(int, ...); };
#define KEEP(kind, name) kind name *keep_##name;
KEEP(struct, tight) KEEP(struct, half_tight) KEEP(struct, line) KEEP(struct, gaps)
KEEP(struct, holds) KEEP(union, mixed) KEEP(struct, bits) KEEP(struct, tail) KEEP(struct, empty)
KEEP(struct, with_empty) KEEP(struct, pointers)
"""


@pytest.mark.tool("clang")
def test_packed_aligned_and_padded_structs_keep_their_layout() -> None:
    same(btf_of(compiled(PACKED)))


TAGGED = r"""
#define TAG(text) __attribute__((btf_decl_tag(text)))
struct whole { int a; long b; } TAG("one") TAG("two");
struct members { int a TAG("of a"); int b : 3 TAG("of b"); int : 5; int c : 7;
                 int *d[2] TAG("first") TAG("second"); int (*e)(int) TAG("of e"); };
struct __attribute__((packed)) TAG("packed") tight { char a; long b TAG("in it"); };
union TAG("union") either { int a; struct { int x TAG("inner"); } b TAG("outer"); };
typedef int number TAG("typedef");
typedef int (*function)(int, char) TAG("a \"quoted\" \\ and \n, ü");
typedef struct { int a TAG("of nameless"); } TAG("nameless") nameless TAG("name");
struct uses { number a; function b; nameless c; int __attribute__((btf_type_tag("\"q\""))) *d; };
#define KEEP(kind, name) kind name *keep_##name;
KEEP(struct, whole) KEEP(struct, members) KEEP(struct, tight) KEEP(union, either)
KEEP(struct, uses)
"""


def tags_of(types: BtfIndex) -> list[tuple[str, str, int, str]]:
    """All declaration tags: kind and name of what they are on, the component, the text."""
    found = []
    for number in types.of_kind(DeclTag):
        tag = types.get(number)
        assert isinstance(tag, DeclTag)
        kind = type(types.get(tag.type)).__name__
        found.append((kind, _name(types, tag.type), tag.component, tag.name))
    return sorted(found, key=lambda row: row[:3])  # those of one place in their order


@pytest.mark.tool("clang")
def test_declaration_tags_are_the_same_after_a_round_through_c() -> None:
    types = btf_of(compiled(TAGGED))
    assert len(tags_of(types)) == 17
    same(types)
    ids = [each for each in types.of_kind(Struct, Union, Typedef) if _name(types, each)]
    assert tags_of(again(types, ids)) == tags_of(types)


@pytest.mark.tool("clang")
def test_every_kind_that_clang_writes_is_printed() -> None:
    types = btf_of(compiled(SOURCES / "all_kinds.c"))
    found = again(types, [*types.find(Struct, "with_float"), *types.find(Union, "either")])
    for kind, name in ((Struct, "with_float"), (Union, "either"), (Enum64, "wide_enum")):
        assert shape(found, found.find(kind, name)[0]) == shape(types, types.find(kind, name)[0])


@pytest.mark.tool("clang")
def test_the_kernels_structs_have_their_sizes_and_offsets() -> None:
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF")
    types = BtfIndex.of(VMLINUX)
    ids = [each for each in types.of_kind(Struct, Union) if _name(types, each)][::8]
    printer = Printer(types)
    for each in ids:
        printer.declare(each)
    lines = [printer.text()]
    for type_id in ids:
        found = types.get(type_id)
        assert isinstance(found, Composite)
        name = f"{'struct' if isinstance(found, Struct) else 'union'} {printer.name_of(type_id)}"
        if any(_name(types, member.type) == "va_list" for member in found.members):
            continue  # a machine's own type, and BPF's is another one
        lines.append(f"_Static_assert(sizeof({name}) == {found.size});")
        places = {each.name: each for each in found.members if each.name}
        lines += (
            f"_Static_assert(__builtin_offsetof({name}, {each.name}) * 8 == {each.offset_bits});"
            for each in places.values()
            if not each.bitfield_size
        )
    command = [find_tool("clang"), "-target", "bpf", "-fsyntax-only", "-std=gnu2x",
               "-Dbool=bool_t", "-Dtrue=true_t", "-Dfalse=false_t", "-xc", "-"]  # fmt: skip
    text = "\n".join(lines)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    assert len(lines) > 5000


def test_an_enumeration_of_no_size_is_refused() -> None:
    twice = tuple(Struct(name, 4, (Member("m", 1, 0),)) for name in "ab")
    with pytest.raises(BtfError, match="type 1 is an enumeration of 0 bytes"):
        print_types(Btf((Enum64("", 0, ()), *twice)))


@given(tables())
@settings(max_examples=50, deadline=None)
def test_any_table_is_printed_or_refused(table: Btf) -> None:
    with suppress(BtfError):
        print_types(table)


@pytest.mark.parametrize(
    "table",
    [
        (Struct("a", 4, (Member("b", 2, 0),)), Struct("b", 4, (Member("a", 1, 0),))),
        (Struct("", 4, (Member("a", 1, 0),)), Typedef("x", 1)),
        (Typedef("a", 1),),
        (Array(1, 1, 1), Typedef("a", 1)),
        (Ptr(1), Typedef("a", 1)),
        (FuncProto(1, (Param("", 1),)), Ptr(1), Typedef("a", 2)),
        (Const(2), Volatile(1), Struct("s", 4, (Member("a", 1, 0),))),
        (INT, Struct("s", 1 << 31, (Member("a", 1, 0),))),
        (INT, Struct("s", 4, (Member("a", 1, 64), Member("b", 1, 0)))),
        (INT, *(Struct(f"s{n}", 4, (Member("a", n, 0),)) for n in range(1, 1000))),
        (INT, *(Typedef(f"s{n}", n + 2) for n in range(1000)), Typedef("end", 1)),
    ],
    ids=range(11),
)
def test_types_that_no_c_has_are_refused_or_written_in_bounded_time(
    table: tuple[BtfType, ...],
) -> None:
    with suppress(BtfError):
        codec.encode(Btf(table))
        print_types(Btf(table))
