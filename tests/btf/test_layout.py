"""Paths into BTF's structs against bpftool's reading of the running kernel, and damaged tables."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm import ir
from ebpfasm.btf import codec
from ebpfasm.btf.layout import Layouts
from ebpfasm.btf.types import (
    Array,
    Btf,
    Enum,
    Enum64,
    Enumerator,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Typedef,
    Union,
)
from ebpfasm.errors import AsmError, BtfError, EbpfError
from tests.isa import judges

# struct outer { u32 a; struct inner { u16 x; u8 y:3; } b[4]; union { u64 c; u8 d[8]; }; this *p; }
TABLE = Btf(
    (
        Int("u8", 1, 8),
        Int("u16", 2, 16),
        Int("u32", 4, 32),
        Int("u64", 8, 64),
        Struct("inner", 4, (Member("x", 2, 0), Member("y", 1, 16, 3))),
        Array(5, 3, 4),
        Array(1, 3, 8),
        Union("", 8, (Member("c", 4, 0), Member("d", 7, 0))),
        Ptr(10),
        Struct(
            "outer",
            40,
            (Member("a", 3, 0), Member("b", 6, 32), Member("", 8, 192), Member("p", 9, 256)),
        ),
        Typedef("outer_t", 10),
        Enum("colour", 4, (Enumerator("RED", 3), Enumerator("BLUE", 4))),
        Enum64("large", 8, (Enumerator("LARGE", 1 << 40),)),
        Fwd("hidden"),
        Struct("holds", 8, (Member("h", 14, 0),)),
        Struct("circle", 8, (Member("", 16, 0),)),
        Typedef("round", 17),
    )
)


@pytest.fixture
def layouts() -> Layouts:
    return Layouts.of(codec.encode(TABLE))


def test_paths_lead_to_offsets_and_sizes(layouts: Layouts) -> None:
    paths = {
        "outer.a": (0, 4), "outer.b": (4, 16), "outer.b[2]": (12, 4), "outer.b[3].x": (16, 2),
        "outer.c": (24, 8), "outer.d[7]": (31, 1), "outer.p": (32, 8), "outer_t.c": (24, 8),
    }  # fmt: skip
    assert {path: (layouts.offset(path), layouts.size(path)) for path in paths} == paths
    assert layouts.size("outer") == 40
    assert (layouts.enumerator("BLUE"), layouts.enumerator("LARGE")) == (4, 1 << 40)
    assert layouts.enumerator("GREEN") is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("outer.z", "outer has no member z"),
        ("outer.a.x", "outer.a has no member x"),
        ("outer.b[4]", "outer.b has 4 elements, and 4 is past them"),
        ("outer.a[0]", "outer.a is no array"),
        ("outer.p.a", "outer.p has no member a"),
        ("outer.b[1].y",
         "outer.b[1].y is a bit-field and has no offset: 3 bits from bit 0 of byte 10"),
        ("holds.h.x", "hidden is only declared in this BTF"),
        ("circle.x", "circle has no member x"),
        ("round.x", "this BTF's types lead in a circle"),
        ("nothing.x", None),
    ],
)  # fmt: skip
def test_other_paths_say_where_they_end(layouts: Layouts, path: str, why: str | None) -> None:
    assert layouts.offset(path) is None
    assert layouts.problem(path) == why


def test_damaged_bytes_raise_btf_error_only() -> None:
    whole = codec.encode(TABLE)
    for end in range(len(whole)):
        with suppress(BtfError):
            Layouts.of(whole[:end]).offset("outer.b[1].x")
    for at in range(24, len(whole)):
        damaged = whole[:at] + b"\xff" + whole[at + 1 :]
        with suppress(BtfError):
            found = Layouts.of(damaged)
            found.offset("outer.b[1].x")
            found.size("outer.d")
            found.enumerator("RED")


def test_assembly_takes_members_and_enumerators_as_numbers(tmp_path: Path) -> None:
    text = "r1 = *(u16 *)(r2 + outer.b[3].x)\nr1 = BLUE + outer.sizeof\nr1 = LARGE ll\nexit"
    spec = ebpfasm.assemble(text, btf=codec.encode(TABLE))
    main = spec.programs["main"].instructions
    numbers = [(each.off, each.imm) for each in ir.instructions_of(main)]
    assert numbers == [(16, 0), (0, 44), (0, 1 << 40), (0, 0)]
    (tmp_path / "types.btf").write_bytes(codec.encode(TABLE, "big"))
    assert ebpfasm.assemble(text, btf=tmp_path / "types.btf") == spec
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble("r1 = outer.bb", btf=codec.encode(TABLE))
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == ("outer has no member bb", "did you mean outer.b?")


def test_what_is_no_btf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.o").write_bytes(b"\x7fELF....")
    with pytest.raises(BtfError, match="is a damaged ELF file"):
        Layouts.of(tmp_path / "a.o")
    with pytest.raises(EbpfError, match="no such file or directory"):
        Layouts.of(tmp_path / "none")


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_offsets_and_sizes_are_those_that_bpftool_reads() -> None:
    kernel = judges.kernel_btf()
    layouts = Layouts.of(judges.VMLINUX)
    for name in ("task_struct", "sk_buff", "bpf_prog", "file", "iphdr", "net_device", "inode"):
        expected = {}
        for path, offset, size in kernel.members(kernel.structs[name]):
            expected[f"{name}.{path}"] = offset, size
        plain = {path: place for path, place in expected.items() if not is_bitfield(layouts, path)}
        found = {path: (layouts.offset(path), layouts.size(path)) for path in plain}
        assert found == plain
        assert len(plain) >= 10


def is_bitfield(layouts: Layouts, path: str) -> bool:
    return "is a bit-field" in (layouts.problem(path) or "")
