"""fentry, fexit and fsession programs on many functions of the kernel by one link (Linux 7.2)."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Iterable
from fnmatch import translate
from typing import TYPE_CHECKING

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.resolve import plain, size_of
from ebpfasm.btf.types import Func, FuncProto, Struct, Union
from ebpfasm.errors import BtfError, LoadError, NotSupported
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import kernel_btf, links, syscall
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_attach_type,
    check_type,
    failed,
    has_link_type,
    impossible,
    no_links,
)
from ebpfasm.runtime.attach.kprobes import no_function
from ebpfasm.runtime.attach.numbers import packed_cookies
from ebpfasm.runtime.attach.perf import no_symbol
from ebpfasm.runtime.attach.tracefs import traceable_functions
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.refusals import TRACING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

HOOKS = ("trace_fentry_multi", "trace_fexit_multi", "trace_fsession_multi")
_MULTI = struct.Struct("=QQI4x")  # type ids, cookies, how many
_MOST_ARGUMENTS, _LARGEST_ARGUMENT = 12, 16  # of a function that is traced: include/linux/bpf.h


def attach_tracing_multi(
    program: Attachable, functions: str | Iterable[str], *, cookies: Iterable[int]
) -> Link:
    """Attach to many functions by one link; `Program.attach_tracing_multi` tells how.

    Raises ValueError, LoadError, NotSupported.
    """
    check_type(program, "tracing")
    check_attach_type(program, *HOOKS)
    chosen = _chosen(program, functions)
    values = list(cookies)
    if values and len(values) != len(chosen):
        raise ValueError(f"{len(values)} cookies were given for {len(chosen)} functions")
    where = next(iter(chosen)) if len(chosen) == 1 else f"{len(chosen)} functions"
    # The kernel takes ids in any order, and cookies in the order of the ids.
    ids = bytearray(struct.pack(f"={len(chosen)}I", *chosen.values()))
    packed = packed_cookies(values)
    details = _MULTI.pack(
        syscall.address(ids), syscall.address(packed) if values else 0, len(chosen)
    )
    kind = program.spec.attach_type or HOOKS[0]
    try:
        fd = links.create(program.fd, 0, ATTACH_TYPES.by_name[kind].id, 0, details)
    except OSError as refusal:
        raise _refusal(program, where, refusal.errno or 0) from None
    return BpfLink("tracing_multi", fd, where)


def _chosen(program: Attachable, functions: str | Iterable[str]) -> dict[str, int]:
    """The type id of each function, by its name, in the order that was asked for."""
    pattern = functions if isinstance(functions, str) else ""
    names = [pattern] if pattern else list(functions)
    module, names = _module(program, names)
    types = kernel_btf.module(module) if module else kernel_btf.vmlinux()
    if pattern and {"*", "?", "["} & set(pattern):
        found = _fitting(types, names[0])
        if not found:
            raise no_symbol(program, f"no function of the kernel fits {pattern!r}", None)
        return found
    if not names:
        raise impossible(program, "to which functions?", hint="give attach() the functions")
    return {each: _one(program, types, each) for each in names}


def _module(program: Attachable, names: list[str]) -> tuple[str, list[str]]:
    """The module that names begin with, as in "nf_tables:nft_do_chain", and the rest of each."""
    parted = [each.rpartition(":") for each in names]
    modules = {module for module, _, _ in parted}
    if len(modules) > 1:
        raise impossible(program, "functions of several modules cannot be one link")
    return next(iter(modules), ""), [name for _, _, name in parted]


def _fitting(types: BtfIndex, pattern: str) -> dict[str, int]:
    fits = re.compile(translate(pattern)).match
    found = {}
    for name in sorted({each for each in traceable_functions() if fits(each)}):
        numbers = [each for each in types.find(Func, name) if each >= types.first_id]
        if len(numbers) == 1 and traceable(types, numbers[0]):
            found[name] = numbers[0]
    return found


def _one(program: Attachable, types: BtfIndex, name: str) -> int:
    numbers = [each for each in types.find(Func, name) if each >= types.first_id]
    if not numbers:
        raise no_function(program, name)
    if not traceable(types, numbers[0]):
        raise impossible(program, f"{name} takes or returns what cannot be traced")
    return numbers[0]


def traceable(types: BtfIndex, number: int) -> bool:
    """Whether a trampoline can save a function's arguments (btf_distill_func_proto in the kernel).

    It has at most 12, none of more than 16 bytes, and it returns no structure.
    """
    function = types.get(number)
    proto = types.get(function.type) if isinstance(function, Func) else None
    if not isinstance(proto, FuncProto) or len(proto.params) > _MOST_ARGUMENTS:
        return False
    try:
        if isinstance(plain(types, proto.type)[1], Struct | Union):
            return False
        sizes = [size_of(types, each.type) for each in proto.params]
    except BtfError:
        return False
    return all(0 < each <= _LARGEST_ARGUMENT for each in sizes)


def _refusal(program: Attachable, where: str, number: int) -> LoadError | NotSupported:
    if number in UNKNOWN and has_link_type("tracing_multi") is False:
        hint = "attach to each function alone (section fentry)"
        return no_links("tracing_multi", "attaching to many functions by fentry at once", hint=hint)
    why = ""
    if number in (errno.ENOENT, errno.EINVAL):
        why = "one of the functions cannot be traced"
    return failed(program, where, number, why=why, needs=TRACING)
