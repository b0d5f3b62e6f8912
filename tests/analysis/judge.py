"""The kernel's own verdict on a program, asked through a raw system call.

It uses the project's linker and encoder but neither its loader nor its verifier, so that a
fault in those cannot make the judge agree.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ebpfasm.emit.code import image
from ebpfasm.ir import MapRef, MapSpec, ProgramSpec, link
from ebpfasm.isa.kinds import ATTACH_TYPES, MAP_TYPES, PROGRAM_TYPES
from tests.support import BPF_MAP_CREATE, NR_BPF, NR_BPF_GENERIC

BPF_PROG_LOAD = 5
LOG_SIZE = 1 << 20


@dataclass(frozen=True)
class Judgement:
    """What the kernel said: errno 0 if it took the program, and its log."""

    errno: int
    log: str

    @property
    def accepted(self) -> bool:
        return self.errno == 0

    @property
    def reason(self) -> str:
        """The last line of the log that is no statistic; a report may explain it (Linux 7.2)."""
        log, _, _ = self.log.partition("\nVerification failed: ")
        lines = [line for line in log.splitlines() if line and not line.startswith("processed ")]
        return lines[-1] if lines else f"errno {self.errno}"

    @property
    def codes(self) -> set[str]:
        """Codes of the checks that the kernel's reason belongs to; empty if it is another's."""
        return {code for code, words in KERNEL_WORDS.items() if re.search(words, self.reason)}


# What kernels say of each thing that the verifier claims to check.
KERNEL_WORDS = {
    "verify-uninit-read": r"R\d+ !read_ok|R0 not a scalar value",
    "verify-frame-pointer": r"frame pointer is read only",
    # Up to Linux 6.2 bytes that were not written are an invalid read, too: inside of the stack.
    "verify-stack-bounds": r"invalid (read from|write to|variable-offset.*) stack"
    r"(?! R\d+ off=-(\d\d?|[1-4]\d\d|50\d|51[0-2]) )|invalid stack off",
    "verify-division": r"div by zero",
    "verify-shift": r"invalid shift",
    "verify-unreachable": r"unreachable insn",
    "verify-jump-target": r"jump out of range|jump into the middle of ldimm64|invalid BPF_LD_IMM",
    "verify-fall-through": r"last insn is not an exit or jmp|jump out of range",
    "verify-helper": r"invalid func|unknown func|program of this type cannot use helper",
    "verify-license": r"from non-GPL compatible program",
    "verify-packet-load": r"BPF_LD_\[ABS\|IND\] instructions not allowed",
    "verify-call-depth": r"call stack of \d+ frames is too deep|recursi|back-edge",
}


def judge(program: ProgramSpec) -> Judgement:
    """Load a program and close it again."""
    code = bytearray()
    built = image(link(program))
    code += built.code
    with _maps(program.maps) as fds:
        for relocation in built.relocations:
            assert isinstance(relocation.ref, MapRef)
            struct.pack_into("<i", code, relocation.slot * 8 + 4, fds[relocation.ref.name])
        return _load(program, bytes(code))


def _load(program: ProgramSpec, code: bytes) -> Judgement:
    log = ctypes.create_string_buffer(LOG_SIZE)
    instructions = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(program.license.encode())
    attr = struct.pack(
        "=IIQQIIQII16sII",
        PROGRAM_TYPES.id_of(program.type) or 0,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license),
        1,
        LOG_SIZE,
        ctypes.addressof(log),
        0,
        program.flags,
        program.name.encode()[:15],
        0,
        (ATTACH_TYPES.id_of(program.attach_type) or 0) if program.attach_type else 0,
    )
    fd, errno = _bpf(BPF_PROG_LOAD, attr)
    if not errno:
        os.close(fd)
    return Judgement(errno, log.value.decode(errors="replace"))


@contextmanager
def _maps(specs: tuple[MapSpec, ...]) -> Iterator[dict[str, int]]:
    fds: dict[str, int] = {}
    try:
        for spec in specs:
            number = MAP_TYPES.id_of(str(spec.type))
            assert number is not None
            sizes = (spec.key_size, spec.value_size, spec.max_entries, spec.flags)
            fd, errno = _bpf(BPF_MAP_CREATE, struct.pack("=IIIII", number, *sizes))
            assert not errno, f"{spec.name}: errno {errno}"
            fds[spec.name] = fd
        yield fds
    finally:
        for fd in fds.values():
            os.close(fd)


def _bpf(command: int, attr: bytes) -> tuple[int, int]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number = NR_BPF.get(platform.machine(), NR_BPF_GENERIC)
    fd = libc.syscall(ctypes.c_long(number), command, attr, len(attr))
    return fd, ctypes.get_errno() if fd < 0 else 0
