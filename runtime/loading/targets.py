"""What a program is bound to when it is loaded: a kernel function, hook, iterator or program.

The kernel takes it as a BTF id (`attach_btf_id`). Names are libbpf's: the part of the section's
name behind the slash, with `MODULE:` before it for one module's.
"""

from __future__ import annotations

import errno

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import BtfType, Func, Typedef
from ebpfasm.errors import BtfError, LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa import sections
from ebpfasm.runtime.info.btf import btf_of
from ebpfasm.runtime.loading.kernel_symbols import KernelTypes

# How the kernel names what belongs to a hook: a typedef for each tracepoint, a function for each
# security hook and iterator (find_attach_btf_id in libbpf, include/linux/btf_ids.h).
_SPELLED: dict[str, tuple[str, type[BtfType]]] = {
    "trace_raw_tp": ("btf_trace_", Typedef),
    "lsm_mac": ("bpf_lsm_", Func),
    "lsm_cgroup": ("bpf_lsm_", Func),
    "trace_iter": ("bpf_iter_", Func),
}
_WORDS = {
    "trace_raw_tp": "tracepoint",
    "lsm_mac": "security hook",
    "lsm_cgroup": "security hook",
    "trace_iter": "iterator",
}
_NO_FUNCTION = frozenset({"trace_fentry_multi", "trace_fexit_multi", "trace_fsession_multi"})
_BY_BTF = frozenset({"tracing", "lsm", "ext"})


@dataclass(frozen=True, slots=True)
class Target:
    """`btf_id` in vmlinux, or in what `fd` is: a program, or a module's BTF. 0 is none."""

    btf_id: int = 0
    fd: int = 0


NOWHERE = Target()


def resolve(spec: ProgramSpec, kernel: KernelTypes, target_fd: int = 0) -> Target:
    """Find what a program is bound to; NOWHERE for types that are not.

    `target_fd` is the program whose function is replaced or traced, 0 for none. Raises LoadError
    of the code "load-target", NotSupported where the kernel has no BTF.
    """
    if spec.type not in _BY_BTF:
        return NOWHERE
    module, name = _parted(spec.attach_target)
    if spec.attach_type in _NO_FUNCTION:
        return Target(0, kernel.descriptor(module) if module else 0)
    if not name:
        raise _unknown(spec, "nothing says what it is to be attached to", _how_to_say(spec))
    if target_fd:
        return Target(_in_program(spec, name, target_fd), target_fd)
    if spec.type == "ext":
        message = f"the program whose function {name!r} it replaces is not given"
        hint = f"load(..., targets={{{spec.name!r}: program}})"
        raise _unknown(spec, message, hint)
    prefix, kind = _SPELLED.get(spec.attach_type, ("", Func))
    found = kernel.find(kind, prefix + name, module or None)
    if found is None:
        word = _WORDS.get(spec.attach_type, "function")
        where = f"module {module!r}" if module else "the kernel"
        raise _unknown(spec, f"{where} has no {word} {name!r}", _alike(spec, name))
    return Target(found.id, found.fd)


def _parted(target: str) -> tuple[str, str]:
    module, colon, name = target.partition(":")
    return (module, name) if colon else ("", target)


def _in_program(spec: ProgramSpec, name: str, fd: int) -> int:
    try:
        found = BtfIndex(btf_of(fd)).find(Func, name)
    except BtfError as problem:
        raise _unknown(spec, problem.diagnostics[0].message, None) from None
    if not found:
        raise _unknown(spec, f"the program it is to be attached to has no function {name!r}", None)
    return found[0]


def _unknown(spec: ProgramSpec, why: str, hint: str | None) -> LoadError:
    message = f"program {spec.name!r}: {why}"
    return LoadError(error("load-target", message, spec.span, hint=hint), errno=errno.ESRCH)


def _how_to_say(spec: ProgramSpec) -> str:
    found = (
        each.name for each in sections.SECTIONS
        if (each.program_type, each.attach_type or "") == (spec.type, spec.attach_type)
    )  # fmt: skip
    section = spec.section or next(found, "fentry")
    return f"name it in the section, as in {section}/NAME"


def _alike(spec: ProgramSpec, name: str) -> str | None:
    """Other names that the hook might be meant by."""
    if spec.attach_type in _SPELLED:
        return None
    if name.startswith(("sys_", "__x64_sys_", "__se_sys_")):
        return "system calls have names of their own, such as __x64_sys_openat on x86-64"
    return "static functions that the compiler inlined are not there; see /sys/kernel/btf/vmlinux"
