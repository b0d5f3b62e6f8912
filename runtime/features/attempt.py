"""Asking the kernel by trying: small programs, maps, BTF and links, closed at once."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ebpfasm.isa.codec import ByteOrder, encode
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from ebpfasm.isa.table import BY_NAME
from ebpfasm.runtime import syscall
from ebpfasm.runtime.release import kernel_version

# union bpf_attr for BPF_PROG_LOAD up to fd_array (linux/bpf.h)
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQIIIIQ")
_LOG = 1 << 13
_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"
_LICENSE = b"GPL\0"


class Attempt(NamedTuple):
    """What came of a call: 0 or its errno, and the verifier's log."""

    errno: int
    log: str = ""

    @property
    def done(self) -> bool:
        """Whether the kernel did it."""
        return self.errno == 0

    @property
    def reason(self) -> str:
        """The last line of the log that says why, empty where there is none."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        said = [line for line in lines if not _is_statistics(line)]
        return said[-1] if said else ""


def _is_statistics(line: str) -> bool:
    return line.startswith(("processed ", "verification time", "stack depth", "insns processed"))


def instruction(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """The bytes of an instruction of the table, in this machine's order."""
    return encode(BY_NAME[name], dst, src, off, imm, byteorder=_ORDER)


def return_number(number: int = 0) -> bytes:
    """The smallest program."""
    return instruction("mov64_imm", imm=number) + instruction("exit")


@contextmanager
def loaded(
    code: bytes,
    program_type: str,
    attach_type: str = "",
    *,
    btf_id: int = 0,
    target_fd: int = 0,
    flags: int = 0,
    license: bytes = _LICENSE,
    name: bytes = b"",
    fds: tuple[int, ...] = (),
    log: bool = True,
) -> Iterator[tuple[Attempt, int]]:
    """Load a program for a moment: what came of it, and its descriptor or -1."""
    text, words = bytearray(code), bytearray(license)
    said, table = bytearray(_LOG * log), bytearray(struct.pack(f"={len(fds)}i", *fds))
    number = PROGRAM_TYPES.id_of(program_type) or 0
    attach = ATTACH_TYPES.id_of(attach_type) or 0
    # Attributes that a kernel does not know may be there as long as they are zero.
    attributes = bytearray(_LOAD.pack(
        number, len(code) // 8, syscall.address(text), syscall.address(words), log, len(said),
        syscall.address(said), kernel_version(), flags, name, 0, attach, 0, 0, 0, 0, 0, 0, 0,
        btf_id, target_fd, 0, syscall.address(table),
    ))  # fmt: skip
    try:
        fd = syscall.bpf(syscall.PROG_LOAD, attributes)
    except OSError as refusal:
        text_said = said.split(b"\0")[0].decode("utf-8", "replace")
        yield Attempt(refusal.errno or 0, text_said), -1
        return
    try:
        yield Attempt(0), fd
    finally:
        os.close(fd)


def load(code: bytes, program_type: str, attach_type: str = "", **options: Any) -> Attempt:
    """Load a program and give it back at once."""
    with loaded(code, program_type, attach_type, **options) as (attempt, _):
        return attempt


def call(command: int, attributes: bytes) -> Attempt:
    """Any other bpf(2) call; a descriptor that comes back is closed."""
    try:
        fd = syscall.bpf(command, bytearray(attributes))
    except OSError as refusal:
        return Attempt(refusal.errno or 0)
    if fd > 0:
        os.close(fd)
    return Attempt(0)
