"""An object's BTF into the kernel, changed where an old one does not know all of it."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from functools import cache

from ebpfasm.btf import codec
from ebpfasm.btf.kernel import BtfFeature, for_kernel
from ebpfasm.btf.types import (
    Btf,
    BtfType,
    DataSec,
    DeclTag,
    Enum64,
    Enumerator,
    Float,
    Func,
    FuncLinkage,
    FuncProto,
    Int,
    IntEncoding,
    Param,
    Ptr,
    SecVar,
    TypeTag,
    Var,
)
from ebpfasm.errors import BtfError
from ebpfasm.runtime import syscall

_LOAD = struct.Struct("=QQIIII")  # union bpf_attr: data, log, their sizes, log level, what is new

_INT = Int("int", 4, 32, IntEncoding.SIGNED)
_PROTO = FuncProto(0, (Param("a", 1),))

# The smallest types that need each feature.
_PROBES: dict[BtfFeature, tuple[BtfType, ...]] = {
    BtfFeature.FUNC: (_INT, _PROTO, Func("f", 2)),
    BtfFeature.FUNC_GLOBAL: (_INT, _PROTO, Func("f", 2, FuncLinkage.GLOBAL)),
    BtfFeature.DATASEC: (_INT, Var("x", 1), DataSec(".data", 4, (SecVar(2, 0, 4),))),
    BtfFeature.QUESTION_MARK: (_INT, Var("x", 1), DataSec("?.data", 4, (SecVar(2, 0, 4),))),
    BtfFeature.FLOAT: (Float("float", 4),),
    BtfFeature.DECL_TAG: (_INT, Var("x", 1), DeclTag("tag", 2)),
    BtfFeature.TYPE_TAG: (_INT, TypeTag("tag", 1), Ptr(2)),
    BtfFeature.ENUM64: (Enum64("e", 8, (Enumerator("a", 0),)),),
}


def load_btf(data: bytes) -> int:
    """Give an object's BTF to the kernel; 0 where it takes none, which alone stops nothing.

    It is given as it is first, and changed where the kernel refuses that.
    """
    for each in _versions(data):
        try:
            return _load(each)
        except OSError as refusal:
            if refusal.errno == errno.EPERM:
                return 0  # without the right to load BTF there is none to load the program
    return 0


def _versions(data: bytes) -> Iterator[bytes]:
    yield data
    try:
        yield for_kernel(data)
        yield for_kernel(data, features())
    except BtfError:
        return  # such an object has been refused as a file, or has no types to speak of


@cache
def features() -> frozenset[BtfFeature]:
    """What the running kernel's BTF can do, by trying each once."""
    return frozenset(each for each, types in _PROBES.items() if _takes(types))


def _takes(types: tuple[BtfType, ...]) -> bool:
    try:
        os.close(_load(codec.encode(Btf(types), sys.byteorder)))
    except OSError:
        return False
    return True


def _load(data: bytes) -> int:
    raw = bytearray(data)
    return syscall.bpf(
        syscall.BTF_LOAD, bytearray(_LOAD.pack(syscall.address(raw), 0, len(raw), 0, 0, 0))
    )
