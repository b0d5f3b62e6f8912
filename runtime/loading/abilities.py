"""What the running kernel can do, as far as loading asks: tried once each, without a trace."""

from __future__ import annotations

import os
import struct
import sys
from functools import cache

from ebpfasm.ir.instruction import instruction
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.helpers import BY_NAME
from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.runtime import syscall

_LOAD = struct.Struct("=IIQQ")  # type, count, instructions, licence; what follows is zero


@cache
def has_attach_cookie() -> bool:
    """Whether programs may ask for the cookie they were attached with (Linux 5.15)."""
    return calls("tracepoint", "bpf_get_attach_cookie")


def calls(program_type: str, helper: str) -> bool:
    """Whether a program of a type may call a helper with its context as the only argument."""
    order: ByteOrder = "little" if sys.byteorder == "little" else "big"
    code = bytearray().join(
        codec.encode(*each.fields, byteorder=order)
        for each in (instruction("call_helper", imm=BY_NAME[helper].id), instruction("exit"))
    )
    license = bytearray(b"GPL\0")
    places = syscall.address(code), syscall.address(license)
    number = PROGRAM_TYPES.by_name[program_type].id
    try:
        os.close(
            syscall.bpf(syscall.PROG_LOAD, bytearray(_LOAD.pack(number, 2, *places)) + bytes(96))
        )
    except OSError:
        return False
    return True
