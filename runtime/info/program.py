"""What the kernel says of a program: `struct bpf_prog_info` of linux/bpf.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.objects import object_info, text_of

# type, id, tag, lengths jited and xlated, their places, load_time, uid, maps, name, ifindex,
# gpl_compatible, namespace, jited ksyms and lengths, BTF with func_info, line_info and jited
# lines, tags, run time and count, recursion, verified_insns, what it is attached to
_INFO = struct.Struct("=II8sIIQQQIIQ16sIIQQIIQQIIQIIQQIIIIQQQQIII4x")
SIZE = _INFO.size

# Where in it a caller asks for more: a count or length, and the place to write to.
JITED, XLATED, MAPS = (16, 24), (20, 32), (52, 56)


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a program (BPF_OBJ_GET_INFO_BY_FD).

    Lengths in bytes; `load_time` in nanoseconds since boot. `verified_instructions` is 0 where
    the kernel is older than 5.16, `btf_id` where the program came without BTF. `run_time_ns` and
    `run_count` count while statistics are on (ebpfasm.runtime.statistics); `recursion_misses`
    are runs left out because the program was running on that CPU already. `attach_btf_id` is
    what it is bound to in the BTF `attach_btf_object_id`, both 0 for programs without a target.
    """

    id: int
    type: str
    name: str
    tag: str
    xlated_length: int
    jited_length: int
    load_time: int
    map_ids: tuple[int, ...]
    btf_id: int
    verified_instructions: int
    uid: int = 0
    gpl_compatible: bool = False
    ifindex: int = 0
    run_time_ns: int = 0
    run_count: int = 0
    recursion_misses: int = 0
    attach_btf_object_id: int = 0
    attach_btf_id: int = 0


def read_program_info(fd: int) -> ProgramInfo:
    """Ask the kernel about an open program. Raises OSError."""
    raw = bytearray(SIZE)
    object_info(fd, raw)
    (count,) = struct.unpack_from("=I", raw, MAPS[0])
    ids = read_table(fd, MAPS, count, 4)
    fields = _INFO.unpack(raw)
    return ProgramInfo(
        id=fields[1],
        type=PROGRAM_TYPES.name_of(fields[0]),
        name=text_of(fields[11]),
        tag=fields[2].hex(),
        xlated_length=fields[4],
        jited_length=fields[3],
        load_time=fields[7],
        map_ids=struct.unpack(f"={len(ids) // 4}I", ids),
        btf_id=fields[20],
        verified_instructions=fields[35],
        uid=fields[8],
        gpl_compatible=bool(fields[13] & 1),
        ifindex=fields[12],
        run_time_ns=fields[32],
        run_count=fields[33],
        recursion_misses=fields[34],
        attach_btf_object_id=fields[36],
        attach_btf_id=fields[37],
    )


def read_table(fd: int, at: tuple[int, int], count: int, record: int = 1) -> bytes:
    """A table of `count` records that the kernel writes where it is told to.

    `at` says where in the structure its count and place are. Empty where the kernel does not
    show it. Raises OSError.
    """
    table = bytearray(count * record)
    if not table:
        return b""
    raw = bytearray(SIZE)
    struct.pack_into("=I", raw, at[0], count)
    struct.pack_into("=Q", raw, at[1], syscall.address(table))
    object_info(fd, raw)
    (shown,) = struct.unpack_from("=Q", raw, at[1])
    return bytes(table) if shown else b""
