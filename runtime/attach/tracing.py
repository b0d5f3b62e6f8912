"""What was bound to its target when it was loaded: fentry, fexit, fmod_ret, LSM, freplace."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from ebpfasm.btf import codec
from ebpfasm.btf.types import Func
from ebpfasm.errors import BtfError, LoadError, unsupported
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_attach_type,
    check_type,
    failed,
    impossible,
)
from ebpfasm.runtime.attach.numbers import check_cookie
from ebpfasm.runtime.attach.perf import no_symbol
from ebpfasm.runtime.attach.tracepoints import open_by_name
from ebpfasm.runtime.info.btf import btf_of
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.refusals import TRACING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_TRACING = struct.Struct("=I4xQ")  # target's type id, cookie
_HOOKS = ("trace_fentry", "trace_fexit", "modify_return", "trace_fsession")


def attach_tracing(program: Attachable, *, cookie: int) -> Link:
    """Attach to the function a program was loaded for; `Program.attach_tracing` tells how."""
    check_type(program, "tracing")
    check_attach_type(program, *_HOOKS)
    word = program.spec.attach_type.removeprefix("trace_") or "tracing"
    return _attach(program, f"{word} {program.spec.attach_target}".rstrip(), cookie)


def attach_lsm(program: Attachable, *, cookie: int) -> Link:
    """Attach to the security hook a program was loaded for; `Program.attach_lsm` tells how."""
    check_type(program, "lsm")
    check_attach_type(program, "lsm_mac")
    return _attach(program, f"LSM hook {program.spec.attach_target}".rstrip(), cookie)


def _attach(program: Attachable, where: str, cookie: int) -> Link:
    """By BPF_RAW_TRACEPOINT_OPEN, which every kernel has; by BPF_LINK_CREATE for a cookie."""
    check_cookie(cookie)
    if not cookie:
        try:
            return BpfLink("tracing", open_by_name(program, "", where), where)
        except LoadError as refusal:
            if refusal.errno in UNKNOWN and program.type == "lsm":
                raise _no_lsm(program, where, refusal) from None
            raise
    kind = ATTACH_TYPES.by_name[program.spec.attach_type].id
    try:
        fd = links.create(program.fd, 0, kind, 0, _TRACING.pack(0, cookie))
    except OSError as refusal:
        number = refusal.errno or 0
        if number in UNKNOWN:
            raise unsupported("a cookie for fentry, fexit or an LSM hook", "5.19") from None
        raise failed(program, where, number, needs=TRACING) from None
    return BpfLink("tracing", fd, where)


def _no_lsm(program: Attachable, where: str, refusal: LoadError) -> LoadError:
    try:
        with open("/sys/kernel/security/lsm", encoding="ascii") as file:
            active = file.read().strip().split(",")
    except OSError:
        return refusal
    if "bpf" in active:
        return refusal
    why = f"the security modules in use are {', '.join(active)}, without bpf"
    hint = f"boot with lsm={','.join(active)},bpf"
    return failed(program, where, refusal.errno, why=why, hint=hint)


def attach_freplace(
    program: Attachable, target: Attachable | None, function: str | None, *, cookie: int
) -> Link:
    """Replace a function of a loaded program; `Program.attach_freplace` tells how."""
    check_type(program, "ext")
    check_cookie(cookie)
    name = function or program.spec.attach_target
    if target is None:
        if function is not None and function != program.spec.attach_target:
            raise impossible(program, "which program has the function?", hint="give the target")
        where = f"function {name}"
        return BpfLink("tracing", open_by_name(program, "", where), where)
    where = f"function {name} of {target.name!r}"
    details = _TRACING.pack(_function_id(program, target, name), cookie)
    try:
        fd = links.create(program.fd, target.fd, 0, 0, details)
    except OSError as refusal:
        number = refusal.errno or 0
        why = ""
        if number == errno.EINVAL:
            why = "it has other arguments than the function that the program was loaded for"
        raise failed(program, where, number, why=why, needs=TRACING) from None
    return BpfLink("tracing", fd, where)


def _function_id(program: Attachable, target: Attachable, name: str) -> int:
    """The type id of a function in the BTF that a program was loaded with. Raises LoadError."""
    try:
        for number, each in enumerate(codec.decode(btf_of(target.fd)).types, 1):
            if isinstance(each, Func) and each.name == name:
                return number
    except BtfError as problem:
        raise impossible(program, problem.diagnostics[0].message) from None
    raise no_symbol(program, f"program {target.name!r} has no function {name!r}", None)
