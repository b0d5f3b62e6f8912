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
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime import syscall

# union bpf_attr: data, log, their sizes, log level, how long the log is, flags, token
_LOAD = struct.Struct("=QQIIIIIi")

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


def load_btf(data: bytes, token: int = 0) -> int:
    """Give an object's BTF to the kernel; 0 where it takes none, which alone stops nothing.

    It is given as it is first, and changed where the kernel refuses that.
    """
    try:
        return _load(data, token)
    except OSError as refusal:
        return 0 if refusal.errno == errno.EPERM else _load_changed(data, token)


def _load_changed(data: bytes, token: int) -> int:
    for each in _versions(data, token):
        try:
            return _load(each, token)
        except OSError as refusal:
            if refusal.errno == errno.EPERM:
                return 0  # without the right to load BTF there is none to load the program
    return 0


def _versions(data: bytes, token: int) -> Iterator[bytes]:
    try:
        yield for_kernel(data)
        yield for_kernel(data, features(token))
    except BtfError:
        return  # such an object has been refused as a file, or has no types to speak of


@cache
def features(token: int = 0) -> frozenset[BtfFeature]:
    """What the running kernel's BTF can do, by trying each once."""
    return frozenset(each for each, types in _PROBES.items() if _takes(types, token))


def _takes(types: tuple[BtfType, ...], token: int) -> bool:
    try:
        os.close(_load(codec.encode(Btf(types), sys.byteorder), token))
    except OSError:
        return False
    return True


def _load(data: bytes, token: int) -> int:
    raw = bytearray(data)
    flags = CONSTANTS["BPF_F_TOKEN_FD"] if token else 0
    attributes = _LOAD.pack(syscall.address(raw), 0, len(raw), 0, 0, 0, flags, token)
    return syscall.bpf(syscall.BTF_LOAD, bytearray(attributes))
