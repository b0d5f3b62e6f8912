"""Instructions: each row of the table in a program that a kernel with it accepts."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import assert_never

from ebpfasm.btf.types import Func, Var
from ebpfasm.errors import EbpfError
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.forms import Form
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.isa.table import BY_NAME, TABLE, InstructionSpec
from ebpfasm.runtime.features.answer import Answer, name_of, not_allowed
from ebpfasm.runtime.features.attempt import Attempt, instruction, load, return_number
from ebpfasm.runtime.features.maps import created

_ARENA = 1 << 44  # where in user space the arena would be
_FRAME, _PLACE = 10, -8  # r10 - 8, which the prologue has written

# What a verifier that knows such an instruction says where this one is not as it wants it.
_KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "call_kfunc": ("calling kernel function", "cannot call kernel function"),
    "callx": ("callx", "R1 ", "indirect"),
    "gotox": ("R1 ", "gotox", "PTR_TO_INSN"),
    "lddw_btf_id": ("kernel symbol", "ldimm64"),
    "lddw_func": ("func_info", "callback", "subprog"),
})  # fmt: skip


def supports(spec: InstructionSpec) -> Answer:
    """Whether the verifier takes an instruction."""
    code = _snippet(spec)
    if code is None:
        return Answer(None, "nothing in this kernel to try it on", spec.since)
    attempt = _with_map(spec, code)
    if attempt is None:
        return Answer(False, "the map that it needs cannot be created", spec.since)
    if attempt.done:
        return Answer(True, "a program with it was loaded", spec.since)
    if any(word in attempt.log for word in _KNOWN.get(spec.name, ())):
        return Answer(True, f"the verifier knows it: {attempt.reason}", spec.since)
    said = attempt.reason or f"loading answers {name_of(attempt.errno)}"
    unclear = not_allowed(attempt.errno) and not attempt.log
    return Answer(None if unclear else False, said, spec.since)


def level(name: str, supported: Callable[[str], Answer]) -> Answer:
    """Whether all of clang's -mcpu=v1, v2, v3 or v4 is there; `supported` answers for a row."""
    rows = [
        row for row in TABLE if row.cpu <= name and row.since and row.form not in _KERNELS_OWN
        and row.group != "linux"
    ]  # fmt: skip
    answers = {row.name: supported(row.name) for row in rows}
    since = max((row.since for row in rows if row.cpu == name), key=_release)
    lacking = [each for each, answer in answers.items() if answer.supported is False]
    unclear = [each for each, answer in answers.items() if answer.supported is None]
    if lacking:
        return Answer(False, f"the kernel lacks {_some(lacking)}", since)
    if unclear:
        return Answer(None, f"it is not known of {_some(unclear)}", since)
    return Answer(True, f"all {len(rows)} instructions were loaded", since)


# What loaders and not compilers make.
_KERNELS_OWN = (Form.LOAD_PSEUDO, Form.CALL_KFUNC)
LEVELS = ("v1", "v2", "v3", "v4")


def _release(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _prologue() -> bytes:
    """r6 is the context, all other registers and 8 bytes of stack hold numbers."""
    code = instruction("mov64_reg", dst=6, src=1)
    for register in (0, 1, 2, 3, 4, 5, 7, 8, 9):
        code += instruction("mov64_imm", dst=register, imm=1)
    return code + instruction("stxdw", dst=_FRAME, src=1, off=_PLACE)


def _snippet(spec: InstructionSpec) -> bytes | None:
    """The instruction alone, or None where there is none that a kernel would take."""
    match spec.form:
        case (
            Form.ALU_IMM | Form.ALU_REG | Form.MOV_IMM | Form.MOV_REG | Form.NEG | Form.MOVSX
            | Form.SWAP | Form.JUMP | Form.JUMP_LONG | Form.JCOND_IMM | Form.JCOND_REG
            | Form.LOAD_IMM64 | Form.CALL_REG | Form.JUMP_REG
        ):  # fmt: skip
            return _filled(spec)
        case (
            Form.LOAD | Form.STORE_REG | Form.STORE_IMM | Form.ATOMIC | Form.FETCH | Form.XCHG
            | Form.XCHG32 | Form.CMPXCHG | Form.CMPXCHG32 | Form.LOAD_ACQUIRE | Form.STORE_RELEASE
        ):  # fmt: skip
            return _filled(spec, off=_PLACE)
        case Form.LOAD_ABS | Form.LOAD_IND:
            return _filled(spec, imm=0)
        case Form.MAY_GOTO:
            # over an instruction: some kernels refuse one that goes nowhere
            return _filled(spec, off=1) + instruction("mov64_imm", dst=1, imm=1)
        case Form.EXIT:
            return b""  # every program has one
        case Form.CALL_HELPER:
            return _filled(spec, imm=5)  # bpf_ktime_get_ns
        case Form.CALL_LOCAL:
            # over the program's end to a function behind it
            return _filled(spec, imm=2) + return_number()
        case Form.CALL_KFUNC:
            found = _kernel_id(Func, ("bpf_fentry_test1", "bpf_prog_put", "bpf_map_put"))
            return None if found is None else _filled(spec, imm=found)
        case Form.CAST:
            return _filled(spec, imm=1)  # from address space 1 to 0
        case Form.LOAD_PSEUDO:
            return _pseudo(spec)
        case _:
            assert_never(spec.form)


def _pseudo(spec: InstructionSpec) -> bytes | None:
    match spec.name:
        case "lddw_btf_id":
            found = _kernel_id(Var, ("bpf_prog_active", "runqueues", "cpu_hw_events"))
            return None if found is None else _filled(spec, imm=found)
        case "lddw_func":
            return _filled(spec, imm=3) + return_number()  # the function behind the end
        case _:
            return _filled(spec, imm=0)  # index 0, or the descriptor that _with_map fills in


def _filled(spec: InstructionSpec, *, off: int = 0, imm: int | None = None) -> bytes:
    """The instruction on r1 and r2, with the frame as its base and 1 as its number."""
    operands = {each.field: each.kind for each in spec.form.operands}
    values = {
        "dst": _FRAME if operands.get("dst") == "base" else 1,
        "src": _FRAME if operands.get("src") == "base" else 2,
        "off": off,
        "imm": imm if imm is not None else 0 if operands.get("imm") == "target" else 1,
    }
    return instruction(spec.name, **{name: values[name] for name in operands if name in values})


def _kernel_id(kind: type[Func | Var], names: tuple[str, ...]) -> int | None:
    from ebpfasm.runtime.kernel_btf import vmlinux

    try:
        types = vmlinux()
    except EbpfError:
        return None
    found = [number for name in names for number in types.find(kind, name)]
    return found[0] if found else None


def _with_map(spec: InstructionSpec, code: bytes) -> Attempt | None:
    """Load the snippet, with a map where it needs one; None where that is not to be had."""
    if spec.form is Form.CAST:
        arena = MAP_TYPES.by_name["arena"].id
        with created(arena, 0, 0, 1, CONSTANTS["BPF_F_MMAPABLE"], extra=_ARENA) as (attempt, fd):
            if not attempt.done:
                return None
            return _load(instruction("lddw_map_fd", dst=3, imm=fd) + code)
    if spec.form is not Form.LOAD_PSEUDO or "map" not in spec.name:
        return _load(code)
    with created(MAP_TYPES.by_name["array"].id, 4, mmap.PAGESIZE, 1) as (attempt, fd):
        if not attempt.done:
            return attempt
        if "idx" in spec.name:
            return _load(code, fds=(fd,))
        return _load(instruction(spec.name, dst=1, imm=fd))


def _load(code: bytes, fds: tuple[int, ...] = ()) -> Attempt:
    return load(_prologue() + code + return_number(), "socket_filter", fds=fds)


INSTRUCTION_ROWS = BY_NAME
