"""Map types."""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ebpfasm.btf import codec
from ebpfasm.btf.types import Btf, ByteOrder, Int, Member, Struct
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES, MapType
from ebpfasm.runtime import syscall
from ebpfasm.runtime.features.answer import Answer, name_of, not_allowed, undeclared
from ebpfasm.runtime.features.attempt import Attempt
from ebpfasm.runtime.refusals import ENOTSUPP

# union bpf_attr for BPF_MAP_CREATE up to map_extra
_CREATE = struct.Struct("=IIIIIII16sIIIIIQ")
_BTF_LOAD = struct.Struct("=QQIIII")
_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"
_RING = frozenset({"ringbuf", "user_ringbuf"})


def map_type(row: MapType) -> Answer:
    """Whether maps of a type can be created."""
    no = undeclared("bpf_map_type", row.c_name, row.since)
    if no is not None:
        return no
    attempt = _create(row)
    if attempt.done:
        return Answer(True, "a map of it was created", row.since)
    evidence = f"creating one answers {name_of(attempt.errno)}"
    if row.name == "struct_ops" and attempt.errno in (ENOTSUPP, errno.ENOENT):
        return Answer(True, f"{evidence} for a type that is no struct_ops", row.since)
    if not_allowed(attempt.errno) or attempt.errno == errno.ENOMEM:
        return Answer(None, evidence, row.since)
    return Answer(False, evidence, row.since)


def _create(row: MapType) -> Attempt:
    key = row.key_sizes[0] if row.key_sizes else 8
    value = row.value_sizes[0] if row.value_sizes else 8
    entries = 0 if row.no_entries else mmap.PAGESIZE if row.name in _RING else 1
    flags = CONSTANTS[row.needs_flag] if row.needs_flag else 0
    if row.name in ("array_of_maps", "hash_of_maps"):
        with created(MAP_TYPES.by_name["array"].id, 4, 4, 1) as (attempt, inner):
            if not attempt.done:
                return attempt
            return create(row.id, key, value, entries, flags, inner=inner)
    if row.needs_btf:
        with _types() as btf:
            return create(row.id, key, value, entries, flags, btf=btf)
    if row.name == "struct_ops":  # the kernel's type 1 is surely no struct_ops
        return create(row.id, key, value, entries, flags, kernel_value=1)
    return create(row.id, key, value, entries, flags)


def create(number: int, key: int, value: int, entries: int, flags: int = 0, **more: Any) -> Attempt:
    """Create a map and give it back at once."""
    with created(number, key, value, entries, flags, **more) as (attempt, _):
        return attempt


@contextmanager
def created(
    number: int, key: int, value: int, entries: int, flags: int = 0,
    *, inner: int = 0, btf: int = 0, kernel_value: int = 0, name: bytes = b"", extra: int = 0,
) -> Iterator[tuple[Attempt, int]]:  # fmt: skip
    """Create a map for a moment: what came of it, and its descriptor or -1."""
    ids = (btf, 1, 3) if btf else (0, 0, 0)
    attributes = _CREATE.pack(
        number, key, value, entries, flags, inner, 0, name, 0, *ids, kernel_value, extra
    )
    try:
        fd = syscall.bpf(syscall.MAP_CREATE, bytearray(attributes))
    except OSError as refusal:
        yield Attempt(refusal.errno or 0), -1
        return
    try:
        yield Attempt(0), fd
    finally:
        os.close(fd)


@contextmanager
def _types() -> Iterator[int]:
    """BTF with an int as key and a struct of 8 bytes as value."""
    types = Btf((
        Int("int", 4, 32, 1),
        Int("long long", 8, 64, 1),
        Struct("probe", 8, (Member("value", 2, 0),)),
    ))  # fmt: skip
    with btf_loaded(types) as (_, fd):
        yield max(fd, 0)


@contextmanager
def btf_loaded(types: Btf) -> Iterator[tuple[Attempt, int]]:
    """Load types for a moment: what came of it, and their descriptor or -1."""
    data, log = bytearray(codec.encode(types, _ORDER)), bytearray(1 << 12)
    attributes = _BTF_LOAD.pack(
        syscall.address(data), syscall.address(log), len(data), len(log), 1, 0
    )
    try:
        fd = syscall.bpf(syscall.BTF_LOAD, bytearray(attributes))
    except OSError as refusal:
        said = log.split(b"\0")[0].decode("utf-8", "replace")
        yield Attempt(refusal.errno or 0, said), -1
        return
    try:
        yield Attempt(0), fd
    finally:
        os.close(fd)
