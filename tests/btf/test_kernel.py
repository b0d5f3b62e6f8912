"""BTF as old kernels take it: what is replaced, what stays, and that the running kernel agrees."""

from __future__ import annotations

import os
import struct
from dataclasses import replace

import pytest

from ebpfasm.btf import codec
from ebpfasm.btf import types as t
from ebpfasm.btf.codec import decode
from ebpfasm.btf.kernel import BtfFeature, for_kernel, sanitized
from ebpfasm.btf.types import Btf
from ebpfasm.elf.reader import read_object
from tests import kernel
from tests.btf.core_judge import SOURCES, compiled
from tests.support import kernel_release, release_of

ALL = frozenset(BtfFeature)
F = BtfFeature


def load(data: bytes) -> int:
    """Give BTF to the kernel. Raises kernel.Refused."""
    import ctypes

    place = ctypes.create_string_buffer(data, len(data))
    attributes = struct.pack("=QQII", ctypes.addressof(place), 0, len(data), 0)
    return kernel.call(kernel.BTF_LOAD, attributes)[0]


def object_btf() -> bytes:
    found = read_object(compiled(SOURCES / "all_kinds.c").read_bytes())
    section = found.section(".BTF")
    assert section is not None
    return _with_sizes(section.content)


def _with_sizes(data: bytes) -> bytes:
    """Sections with sizes and offsets, which compilers leave to the linker."""
    types = []
    for each in decode(data).types:
        if isinstance(each, t.DataSec) and each.name != ".ksyms":
            at, places = 0, []
            for place in each.variables:
                at = (at + 15) // 16 * 16
                places.append(t.SecVar(place.type, at, place.size))
                at += place.size
            each = t.DataSec(each.name, at, tuple(places))
        types.append(each)
    return codec.encode(Btf(tuple(types)))


def need(features: frozenset[BtfFeature]) -> None:
    """Skip where the kernel lacks one of these."""
    for each in features:
        if kernel_release() < release_of(each.value):
            pytest.skip(f"unsupported: {each.name} in BTF (Linux {each.value})")


# What each kernel lacked, from the newest to the oldest: this one's BTF checks hold them together.
MISSING = [frozenset(list(F)[number:]) for number in range(len(F))]


@pytest.mark.tool("clang")
@pytest.mark.kernel
def test_externs_are_refused_until_they_are_variables() -> None:
    need(ALL)
    data = object_btf()
    with pytest.raises(kernel.Refused):
        load(data)
    os.close(load(for_kernel(data)))
    before, after = decode(data), decode(for_kernel(data))
    assert len(after) == len(before) + 1  # the dummy variable
    section = next(each for each in after.types if getattr(each, "name", "") == ".ksyms")
    assert isinstance(section, t.DataSec)
    assert [(each.offset, each.size) for each in section.variables] == [(0, 4), (4, 4)]
    assert section.size == 8
    number = after.find(t.Func, "bpf_task_from_pid")
    assert number
    function = before.types[number - 1]
    assert isinstance(function, t.Func)
    assert after.get(number) == replace(function, linkage=t.FuncLinkage.GLOBAL)


@pytest.mark.tool("clang")
@pytest.mark.kernel
@pytest.mark.parametrize("missing", MISSING, ids=lambda each: next(x.name for x in F if x in each))
def test_the_kernel_takes_what_is_made_for_one_that_lacks_something(
    missing: frozenset[BtfFeature],
) -> None:
    need(ALL - missing)
    data = object_btf()
    made = for_kernel(data, ALL - missing)
    os.close(load(made))
    before, after = codec.read_header(data), codec.read_header(made)
    ours, theirs = data[slice(*before.strings)], made[slice(*after.strings)]
    assert theirs.startswith(ours)
    for feature, kinds in KINDS.items():
        if feature in missing:
            assert not [each for each in decode(made).types if isinstance(each, kinds)]


KINDS: dict[BtfFeature, tuple[type[t.BtfType], ...]] = {
    F.DATASEC: (t.Var, t.DataSec),
    F.FUNC: (t.Func, t.FuncProto),
    F.FLOAT: (t.Float,),
    F.DECL_TAG: (t.DeclTag,),
    F.TYPE_TAG: (t.TypeTag,),
    F.ENUM64: (t.Enum64,),
}


def test_each_kind_becomes_what_libbpf_makes_of_it() -> None:
    types: tuple[t.BtfType, ...] = (
        t.Int("int", 4, 32, 1),
        t.FuncProto(1, (t.Param("a", 1),)),
        t.Func("f", 2, t.FuncLinkage.GLOBAL),
        t.Var("x", 1, 1),
        t.DataSec("?.data.x", 4, (t.SecVar(4, 0, 4),)),
        t.Float("double", 8),
        t.DeclTag("tag", 4, -1),
        t.TypeTag("user", 1),
        t.Enum64("e", 8, (t.Enumerator("A", 1 << 40), t.Enumerator("B", 2))),
        t.Enum("s", 4, (t.Enumerator("M", -1),), signed=True),
    )
    byte = t.Int("", 1, 8)
    assert sanitized(types, ALL) == list(types)
    assert sanitized(types, frozenset()) == [
        types[0],
        t.Enum("", 4, (t.Enumerator("a", 1),)),
        t.Typedef("f", 2),
        replace(byte, name="x"),
        t.Struct("__data_x", 4, (t.Member("x", 4, 0),)),
        t.Struct("", 8, ()),
        replace(byte, name="tag"),
        t.Const(1),
        t.Union("e", 8, (t.Member("A", 11, 0), t.Member("B", 11, 0))),
        t.Enum("s", 4, (t.Enumerator("M", 0xFFFF_FFFF),)),
        t.Int("enum64_placeholder", 1, 8),
    ]
    assert sanitized(types, ALL - {F.QUESTION_MARK})[4] == t.DataSec(
        "_.data.x", 4, (t.SecVar(4, 0, 4),)
    )
    assert sanitized(types, ALL - {F.FUNC_GLOBAL})[2] == t.Func("f", 2)
