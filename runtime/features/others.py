"""What else a kernel may have, each asked in its own way."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ebpfasm.btf.types import Btf, Int
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES, MAP_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.features.answer import Answer, name_of, not_allowed
from ebpfasm.runtime.features.attempt import Attempt, call, instruction, load, loaded, return_number
from ebpfasm.runtime.features.maps import btf_loaded, create, created

_ARRAY, _HASH = MAP_TYPES.by_name["array"].id, MAP_TYPES.by_name["hash"].id
_MANY = 4097  # instructions: one more than there could be before 5.2
_RUN_TIME = 0  # BPF_STATS_RUN_TIME


def _global_data() -> Attempt:
    with created(_ARRAY, 4, 32, 1) as (attempt, fd):
        if not attempt.done:
            return attempt
        code = instruction("lddw_map_value", dst=1, imm=fd | 16 << 32)
        return load(code + instruction("stdw", dst=1, imm=42) + return_number(), "socket_filter")


def _bounded_loops() -> Attempt:
    code = instruction("mov64_imm", dst=1, imm=10)
    code += instruction("sub64_imm", dst=1, imm=1)
    code += instruction("jne64_imm", dst=1, imm=0, off=-2)
    return load(code + return_number(), "socket_filter")


def _large_programs() -> Attempt:
    body = instruction("mov64_imm") * (_MANY - 1)
    return load(body + instruction("exit"), "socket_filter", log=False)


def _program_names() -> Attempt:
    return load(return_number(), "socket_filter", name=b"ebpfasm_probe")


def _map_names() -> Attempt:
    return create(_ARRAY, 4, 4, 1, name=b"ebpfasm_probe")


def _mmapable_arrays() -> Attempt:
    return create(_ARRAY, 4, 4, 1, CONSTANTS["BPF_F_MMAPABLE"])


def _program_reads_only() -> Attempt:
    return create(_ARRAY, 4, 4, 1, CONSTANTS["BPF_F_RDONLY_PROG"])


def _freezing() -> Attempt:
    with created(_ARRAY, 4, 4, 1) as (attempt, fd):
        return call(syscall.MAP_FREEZE, struct.pack("=I", fd)) if attempt.done else attempt


def _batches(type_number: int) -> Callable[[], Attempt]:
    def ask() -> Attempt:
        with created(type_number, 4, 4, 1) as (attempt, fd):
            if not attempt.done:
                return attempt
            key, value = bytearray(4), bytearray(4)
            places = syscall.address(key), syscall.address(value)
            batch = struct.pack("=QQQQIIQQ", 0, 0, *places, 1, fd, 0, 0)
            return call(syscall.MAP_UPDATE_BATCH, batch)

    return ask


def _btf() -> Attempt:
    with btf_loaded(Btf((Int("int", 4, 32, 1),))) as (attempt, _):
        return attempt


def _module_btf() -> Attempt:
    """Kernels with BTF for modules have a name in their information of BTF."""
    with btf_loaded(Btf((Int("int", 4, 32, 1),))) as (attempt, fd):
        if not attempt.done:
            return attempt
        name = bytearray(16)
        info = bytearray(struct.pack("=QIIQII", 0, 0, 0, syscall.address(name), len(name), 0))
        attributes = struct.pack("=IIQ", fd, len(info), syscall.address(info))
        return call(syscall.OBJ_GET_INFO_BY_FD, attributes)


def _bind_map() -> Attempt:
    with created(_ARRAY, 4, 4, 1) as (first, map), loaded(return_number(), "socket_filter") as (
        attempt, program,
    ):  # fmt: skip
        if not (first.done and attempt.done):
            return first if attempt.done else attempt
        return call(syscall.PROG_BIND_MAP, struct.pack("=III", program, map, 0))


def _attach_cookies() -> Attempt:
    cookie = instruction("call_helper", imm=174)  # bpf_get_attach_cookie
    return load(cookie + instruction("exit"), "tracepoint")


def _expected_attach_types() -> Attempt:
    return load(return_number(), "cgroup_sock", "cgroup_inet4_post_bind")


def _sleepable() -> Attempt:
    return load(return_number(), "syscall", flags=CONSTANTS["BPF_F_SLEEPABLE"])


def _xdp_fragments() -> Attempt:
    return load(return_number(), "xdp", flags=CONSTANTS["BPF_F_XDP_HAS_FRAGS"])


def _subprograms() -> Attempt:
    code = instruction("call_local", imm=2) + return_number() * 2
    return load(code, "socket_filter")


def _test_runs() -> Attempt:
    with loaded(return_number(), "socket_filter") as (attempt, fd):
        if not attempt.done:
            return attempt
        data = bytearray(64)
        run = struct.pack("=IIIIQQII", fd, 0, len(data), 0, syscall.address(data), 0, 1, 0)
        return call(syscall.PROG_TEST_RUN, run)


def _statistics() -> Attempt:
    return call(syscall.ENABLE_STATS, struct.pack("=I", _RUN_TIME))


def _tokens() -> Attempt:
    return call(syscall.TOKEN_CREATE, struct.pack("=II", 0, 0xFFFF_FFFF))


def _streams() -> Attempt:
    return call(syscall.PROG_STREAM_READ_BY_FD, struct.pack("=QIII4x", 0, 0, 1, 0xFFFF_FFFF))


def _multi_program_query() -> Attempt:
    query = struct.pack(
        "=IIIIQII", 0x7FFF_FFFF, ATTACH_TYPES.by_name["tcx_ingress"].id, 0, 0, 0, 0, 0
    )
    return call(syscall.PROG_QUERY, query)


class Other(NamedTuple):
    """One question: since when, what it is, how it is asked, and what else than 0 is a yes."""

    since: str
    doc: str
    ask: Callable[[], Attempt]
    also: tuple[int, ...] = ()


OTHERS: Mapping[str, Other] = MappingProxyType({
    "subprograms": Other("4.16", "programs of several functions", _subprograms),
    "program_names": Other("4.15", "names of programs", _program_names),
    "map_names": Other("4.15", "names of maps", _map_names),
    "expected_attach_types": Other("4.17", "attach types given at load", _expected_attach_types),
    "test_runs": Other("4.12", "BPF_PROG_TEST_RUN", _test_runs),
    "btf": Other("4.18", "types of maps and programs", _btf),
    "module_btf": Other("5.11", "types of modules", _module_btf),
    "global_data": Other("5.2", "variables in data sections", _global_data),
    "freezing": Other("5.2", "maps that user space cannot write any more", _freezing),
    "read_only_maps": Other("5.2", "maps that programs cannot write", _program_reads_only),
    "large_programs": Other("5.2", "programs of a million instructions", _large_programs),
    "bounded_loops": Other("5.3", "loops that end", _bounded_loops),
    "mmapable_arrays": Other("5.5", "arrays in user space's memory", _mmapable_arrays),
    "array_batches": Other("5.6", "many items of an array in one call", _batches(_ARRAY)),
    "hash_batches": Other("5.6", "many items of a hash in one call", _batches(_HASH)),
    "statistics": Other("5.8", "run-time statistics switched on by a call", _statistics),
    "bind_map": Other("5.10", "maps bound to a program that does not name them", _bind_map),
    "sleepable": Other("5.14", "syscall programs, which may sleep", _sleepable),
    "attach_cookies": Other("5.15", "a number given when a program is attached", _attach_cookies),
    "xdp_fragments": Other("5.18", "XDP on packets of several buffers", _xdp_fragments),
    "multi_program_query": Other(
        "6.6", "several programs on one interface, in order", _multi_program_query,
        (errno.ENODEV, errno.ENXIO, errno.ENOENT),
    ),
    "tokens": Other("6.9", "rights handed on to user namespaces", _tokens, (errno.EBADF,)),
    "streams": Other(
        "6.17", "output of programs that can be read back", _streams, (errno.EBADF, errno.ENOENT)
    ),
})  # fmt: skip


def other(name: str) -> Answer:
    """Answer one of `OTHERS`."""
    row = OTHERS[name]
    attempt = row.ask()
    if attempt.done:
        return Answer(True, f"tried: {row.doc}", row.since)
    said = f": {attempt.reason}" if attempt.reason else ""
    evidence = f"trying it answers {name_of(attempt.errno)}{said}"
    if attempt.errno in row.also:
        return Answer(True, evidence, row.since)
    if not_allowed(attempt.errno) and not attempt.log:
        return Answer(None, evidence, row.since)
    return Answer(False, evidence, row.since)


# ---- settings, which are read and not tried


def _setting(path: str, yes: Callable[[str], bool], since: str) -> Answer:
    try:
        with open(path, encoding="ascii") as file:
            value = file.read().strip()
    except OSError as problem:
        return Answer(None, f"{path}: {os.strerror(problem.errno or 0)}", since)
    return Answer(yes(value), f"{path} is {value!r}", since)


SETTINGS: Mapping[str, Callable[[], Answer]] = MappingProxyType({
    "jit": lambda: _setting("/proc/sys/net/core/bpf_jit_enable", lambda v: v != "0", "3.0"),
    "unprivileged": lambda: _setting(
        "/proc/sys/kernel/unprivileged_bpf_disabled", lambda v: v == "0", "4.4"
    ),
    "lsm": lambda: _setting("/sys/kernel/security/lsm", lambda v: "bpf" in v.split(","), "5.7"),
})  # fmt: skip
