"""Program types, helpers of a type, and the ways in which a type can be loaded."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from ebpfasm.btf.types import BtfType, Func, Typedef
from ebpfasm.errors import EbpfError
from ebpfasm.frozen import dataclass
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.helpers import HELPERS, HelperSpec
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES, AttachType, ProgramType
from ebpfasm.isa.sections import SECTIONS
from ebpfasm.runtime.features.answer import Answer, name_of, not_allowed, undeclared
from ebpfasm.runtime.features.attempt import Attempt, instruction, load, return_number

_SLEEPABLE = CONSTANTS["BPF_F_SLEEPABLE"]

# What a program is loaded for where its type wants something of the kernel's BTF: things that the
# kernel keeps for tests first, then ones that every kernel has.
TARGETS: Mapping[str, tuple[type[BtfType], tuple[str, ...]]] = MappingProxyType({
    "trace_raw_tp": (Typedef, (
        "btf_trace_bpf_test_finish", "btf_trace_xdp_exception", "btf_trace_sched_switch",
    )),
    "trace_fentry": (Func, ("bpf_fentry_test1", "filp_close", "tcp_connect")),
    "trace_fexit": (Func, ("bpf_fentry_test1", "filp_close", "tcp_connect")),
    "trace_fsession": (Func, ("bpf_fentry_test1", "filp_close", "tcp_connect")),
    "modify_return": (Func, ("bpf_modify_return_test", "security_file_open")),
    "trace_iter": (Func, ("bpf_iter_bpf_map", "bpf_iter_task", "bpf_iter_tcp", "bpf_iter_unix")),
    "lsm_mac": (Func, ("bpf_lsm_bpf", "bpf_lsm_file_open", "bpf_lsm_bprm_committed_creds")),
    "lsm_cgroup": (Func, ("bpf_lsm_socket_bind", "bpf_lsm_socket_post_create")),
})  # fmt: skip

# A program of these types is looked at only with a target that no probe can give.
_NO_TARGET: Mapping[str, str] = MappingProxyType({
    "ext": "Cannot replace kernel functions|attach_prog_fd|BTF of the target",
    "struct_ops": "attach_btf_id|struct_ops",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loading:
    """A way to load a program of a type."""

    program_type: str
    attach_type: str = ""
    btf_id: int = 0
    sleepable: bool = False
    returns: int = 0

    @property
    def flags(self) -> int:
        """The flags of BPF_PROG_LOAD."""
        return _SLEEPABLE if self.sleepable else 0

    @property
    def nothing(self) -> bytes:
        """A program that does nothing."""
        return return_number(self.returns)

    def load(self, code: bytes, license: bytes = b"GPL\0") -> Attempt:
        """Try it."""
        return load(
            code, self.program_type, self.attach_type, btf_id=self.btf_id, license=license,
            flags=self.flags,
        )  # fmt: skip


def target_ids(attach_type: str) -> Iterator[int]:
    """Ids in the kernel's BTF that programs of an attach type can be loaded for."""
    from ebpfasm.runtime.kernel_btf import vmlinux

    kind, names = TARGETS[attach_type]
    try:
        types = vmlinux()
    except EbpfError:
        return
    for name in names:
        yield from types.find(kind, name)[:1]


def attach_types_of(program_type: str) -> tuple[str, ...]:
    """The attach types that a program type is loaded with, as section names have them."""
    found = [row.attach_type or "" for row in SECTIONS if row.program_type == program_type]
    return tuple(dict.fromkeys(found)) or ("",)


def _loadings(program_type: str) -> Iterator[Loading]:
    """All ways to try, the likeliest first. Some programs may return nothing but 1."""
    names = attach_types_of(program_type)
    for sleepable in (False, True):
        for name in names:
            for btf_id in target_ids(name) if name in TARGETS else (0,):
                for number in (0, 1):
                    yield Loading(program_type, name, btf_id, sleepable, number)


@cache
def ways(program_type: str) -> tuple[Loading, ...]:
    """Those ways in which this kernel loads a program that does nothing."""
    found: dict[tuple[str, int, bool], Loading] = {}
    for each in _loadings(program_type):
        way = each.attach_type, each.btf_id, each.sleepable
        if way not in found and each.load(each.nothing).done:
            found[way] = each
    return tuple(found.values())


def program_type(row: ProgramType) -> Answer:
    """Whether programs of a type can be loaded."""
    no = undeclared("bpf_prog_type", row.c_name, row.since)
    if no is not None:
        return no
    last = Attempt(0)
    for each in _loadings(row.name):
        attempt = each.load(each.nothing)
        if attempt.done:
            return Answer(True, "a program of it was loaded", row.since)
        last = last if last.errno else attempt
    pattern = _NO_TARGET.get(row.name)
    if pattern is not None:
        last = load(return_number(0), row.name, btf_id=1)
        if re.search(pattern, last.log):
            return Answer(True, f"the verifier looked at a program of it: {last.reason}", row.since)
    return _refused(last, row.since)


def _refused(attempt: Attempt, since: str) -> Answer:
    said = f": {attempt.reason}" if attempt.reason else ""
    evidence = (
        f"loading answers {name_of(attempt.errno)}{said}" if attempt.errno else "no way found"
    )
    if not_allowed(attempt.errno) or not attempt.errno:
        return Answer(None, evidence, since)
    return Answer(False, evidence, since)


# ---- helpers

_REFUSALS = re.compile(
    "unknown func|cannot use helper|not allowed in probe|invalid func|might sleep|sleepable helper"
)
_LOOKED = re.compile(r"^\d+: |R\d|^GPL|func", re.MULTILINE)


def helper(row: HelperSpec, program_type: str) -> Answer:
    """Whether programs of a type may call a helper, in any way of loading them.

    It is called without arguments: what the verifier then says shows whether it knows it.
    """
    call = instruction("call_helper", imm=row.id)
    refusal = ""
    for each in ways(program_type):
        attempt = each.load(call + each.nothing)
        said = attempt.log
        if attempt.done or (_LOOKED.search(said) and not _REFUSALS.search(said)):
            how = f" with {each.attach_type}" if each.attach_type else ""
            said = attempt.reason or "it was loaded"
            return Answer(True, f"{said}{how}", row.since)
        if not_allowed(attempt.errno) and not said:
            return Answer(None, f"loading answers {name_of(attempt.errno)}", row.since)
        refusal = refusal or _line(said) or name_of(attempt.errno)
    if not refusal:
        return Answer(None, f"no program of type {program_type} can be loaded to ask", row.since)
    return Answer(False, refusal, row.since)


def _line(log: str) -> str:
    return next((line.strip() for line in log.splitlines() if _REFUSALS.search(line)), "")


HELPER_ROWS: Mapping[str, HelperSpec] = MappingProxyType({row.name: row for row in HELPERS})


# ---- attach types that are only loaded with


def loadable(row: AttachType, program_type: str) -> tuple[Loading, Attempt]:
    """The first way to load a program with an attach type, or the first that failed."""
    failed = Loading(program_type, row.name), Attempt(errno.ENOENT)
    for each in _loadings(program_type):
        if each.attach_type == row.name:
            attempt = each.load(each.nothing)
            if attempt.done:
                return each, attempt
            if failed[1].errno == errno.ENOENT:
                failed = each, attempt
    return failed


PROGRAM_ROWS: Mapping[str, ProgramType] = MappingProxyType(
    {row.name: row for row in PROGRAM_TYPES if row.name != "unspec"}
)
ATTACH_ROWS: Mapping[str, AttachType] = MappingProxyType({row.name: row for row in ATTACH_TYPES})
