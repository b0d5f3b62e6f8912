"""BTF that is in the kernel: what it says of it, and its bytes read back."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass

from ebpfasm.btf import codec
from ebpfasm.btf.strings import StringSection
from ebpfasm.btf.types import Btf
from ebpfasm.errors import BtfError, LoadError, error
from ebpfasm.runtime import syscall
from ebpfasm.runtime.info.ids import open_by_id
from ebpfasm.runtime.info.program import read_program_info
from ebpfasm.runtime.objects import object_info, text_of
from ebpfasm.runtime.refusals import refused

# struct bpf_btf_info: place and size of the data, id, place and size of the name, kernel_btf
_INFO = struct.Struct("=QIIQII")
_NAME_ROOM = 64  # bytes: a module's name is shorter (MODULE_NAME_LEN)


@dataclass(frozen=True, slots=True)
class BtfInfo:
    """What the kernel says of BTF. `size` in bytes; `name` is that of the module, or "vmlinux".

    `kernel` tells the kernel's own types from those that were loaded with programs and maps,
    which have no name.
    """

    id: int
    name: str
    size: int
    kernel: bool


def read_btf_info(fd: int) -> BtfInfo:
    """Ask the kernel about BTF. Raises OSError.

    Kernels before 5.11 know neither name nor origin; it counts as not the kernel's there.
    """
    name = bytearray(_NAME_ROOM)
    raw = bytearray(_INFO.pack(0, 0, 0, syscall.address(name), len(name), 0))
    try:
        object_info(fd, raw)
    except OSError as refusal:
        if refusal.errno != errno.E2BIG:
            raise
        raw = bytearray(_INFO.size)  # what such a kernel does not know must be zero
        object_info(fd, raw)
    _, size, number, _, _, kernel = _INFO.unpack(raw)
    return BtfInfo(number, text_of(bytes(name)), size, bool(kernel))


def read_btf(fd: int) -> bytes:
    """Read the bytes of BTF that is in the kernel. Raises OSError."""
    size = read_btf_info(fd).size
    data = bytearray(size)
    object_info(fd, bytearray(_INFO.pack(syscall.address(data), size, 0, 0, 0, 0)))
    return bytes(data)


@dataclass(frozen=True, slots=True)
class LoadedBtf:
    """Types and strings of BTF that came into the kernel with a program or map."""

    types: Btf
    strings: StringSection


def loaded_btf(number: int) -> LoadedBtf | None:
    """The BTF with an id; None for 0, for the kernel's own, and where it cannot be read."""
    if number == 0:
        return None
    try:
        fd = open_by_id(syscall.BTF_GET_FD_BY_ID, number, f"BTF {number}")
    except LoadError:
        return None
    try:
        if read_btf_info(fd).kernel:
            return None
        data = read_btf(fd)
        return LoadedBtf(codec.decode(data), codec.decode_strings(data))
    except (OSError, BtfError):
        return None
    finally:
        os.close(fd)


def btf_of(program_fd: int) -> bytes:
    """The BTF that a program was loaded with. Raises BtfError where it has none, LoadError."""
    try:
        number = read_program_info(program_fd).btf_id
    except OSError as refusal:
        raise refused("load-failed", "ask about a program", refusal.errno or 0) from None
    if number == 0:
        raise BtfError(error("btf-format", "the program was loaded without BTF"))
    fd = open_by_id(syscall.BTF_GET_FD_BY_ID, number, f"BTF {number}")
    try:
        return read_btf(fd)
    except OSError as refusal:
        raise refused("load-failed", f"read BTF {number}", refusal.errno or 0) from None
    finally:
        os.close(fd)
