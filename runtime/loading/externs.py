"""What programs name of the kernel: its functions (kfuncs) and variables (ksyms), found at load.

All names of a collection are looked up once, before its first program is loaded. What is weak
and not there becomes null, or an instruction that must not be reached.
"""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterable, Iterator

from ebpfasm.btf.core_match import essential, types_are_compatible
from ebpfasm.btf.resolve import plain
from ebpfasm.btf.types import Func, FuncProto, Types, Var
from ebpfasm.errors import BtfError, Diagnostic, LoadError, Location, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Item, instructions_of
from ebpfasm.ir.packed import Stream
from ebpfasm.ir.references import KfuncRef, KsymRef
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa.table import BY_NAME
from ebpfasm.runtime.loading import kallsyms
from ebpfasm.runtime.loading.kernel_symbols import KernelType, KernelTypes

_MOST_MODULES = (1 << 15) - 1  # a call's offset field says which


@dataclass(frozen=True, slots=True)
class InKernel:
    """A function or variable: its BTF id, and the BTF's descriptor, 0 for vmlinux."""

    btf_id: int
    fd: int = 0


class Externs:
    """Kernel symbols by name; None stands for weak ones that are missing.

    `variables` are found by their types, `addresses` by their names alone.
    """

    def __init__(self) -> None:
        self.kfuncs: dict[str, InKernel | None] = {}
        self.variables: dict[str, InKernel | None] = {}
        self.addresses: dict[str, int | None] = {}
        self._descriptors: list[int] = []

    @property
    def fd_array(self) -> bytearray:
        """The descriptors that calls index, as BPF_PROG_LOAD takes them; place 0 is not used."""
        fds = self._descriptors
        return bytearray(array("i", [0, *fds]).tobytes()) if fds else bytearray()

    def place_of(self, fd: int) -> int:
        """The place of a module's BTF in fd_array. Raises LoadError where there is no more room."""
        if fd == 0:
            return 0
        if fd not in self._descriptors:
            if len(self._descriptors) == _MOST_MODULES:
                message = f"functions of more than {_MOST_MODULES} modules are called"
                raise LoadError(error("load-symbol", message), errno=errno.E2BIG)
            self._descriptors.append(fd)
        return self._descriptors.index(fd) + 1


_Found = tuple[KfuncRef | KsymRef, Location | None]
# A reference and whether it is one by BTF id, with a place where it is used.
_Use = tuple[tuple[KfuncRef | KsymRef, bool], Location | None]
_BTF_ID = BY_NAME["lddw_btf_id"].fixed_fields["src"]


def resolve(programs: Iterable[ProgramSpec], types: Types | None, kernel: KernelTypes) -> Externs:
    """Find every kernel symbol that the programs name; `types` are the object's.

    Raises LoadError with a diagnostic for every one that is missing and not weak, or has another
    type than the program says; NotSupported where types are needed and the kernel has none.
    """
    externs = Externs()
    wanted = dict(_references(programs))
    if not wanted:
        return externs
    wrong: list[Diagnostic] = []
    untyped: dict[str, _Found] = {}
    for (ref, by_type), span in wanted.items():
        try:
            match ref:
                case KfuncRef(name=name):
                    function = _function(ref, types, kernel, span)
                    externs.kfuncs[name] = function
                    externs.place_of(function.fd if function is not None else 0)
                case KsymRef(name=name) if by_type:
                    externs.variables[name] = _typed(ref, types, kernel, span)
                case KsymRef(name=name):
                    untyped[name] = ref, span
        except LoadError as problem:
            wrong += problem.diagnostics
    try:
        externs.addresses = _addresses(untyped)
    except LoadError as problem:
        wrong += problem.diagnostics
    if wrong:
        raise LoadError(*wrong, errno=errno.ESRCH)
    return externs


def _references(programs: Iterable[ProgramSpec]) -> Iterator[_Use]:
    """Kernel symbols with a place where each is used, the first one last: a dict keeps that."""
    for program in programs:
        for stream in (program.instructions, *(each.instructions for each in program.functions)):
            if not isinstance(stream, Stream) or stream.body.refs:
                yield from reversed(list(_of(stream)))


def _of(stream: Iterable[Item]) -> Iterator[_Use]:
    if isinstance(stream, Stream):
        body = stream.body
        for index, ref in body.refs.items():
            if isinstance(ref, KfuncRef | KsymRef):
                src = body.code[body.slots[index] * 8 + 1] >> 4
                yield (ref, _by_type(ref, src)), body.span(index)
        return
    for each in instructions_of(stream):
        if isinstance(each.ref, KfuncRef | KsymRef):
            src = each.spec.fixed_fields.get("src", 0)
            yield (each.ref, _by_type(each.ref, src)), each.span


def _by_type(ref: KfuncRef | KsymRef, src: int) -> bool:
    return isinstance(ref, KfuncRef) or ref.type_id != 0 or src == _BTF_ID


def _function(
    ref: KfuncRef | KsymRef, types: Types | None, kernel: KernelTypes, span: Location | None
) -> InKernel | None:
    found = kernel.find(Func, essential(ref.name))
    if found is None:
        _check_weak(ref, "function", span)
        return None
    theirs = found.types.get(found.id)
    assert isinstance(theirs, Func)
    if not _fits(types, ref.type_id, found, theirs.type):
        if ref.weak:
            return None
        raise _other_type(ref.name, "function", found, span)
    return InKernel(found.id, found.fd)


def _typed(
    ref: KsymRef, types: Types | None, kernel: KernelTypes, span: Location | None
) -> InKernel | None:
    if types is not None and isinstance(types.get(ref.type_id), FuncProto):
        return _function(ref, types, kernel, span)
    found = kernel.find(Var, ref.name)
    if found is None:
        _check_weak(ref, "variable with a type", span)
        return None
    variable = found.types.get(found.id)
    assert isinstance(variable, Var)
    if not _fits(types, ref.type_id, found, plain(found.types, variable.type)[0]):
        raise _other_type(ref.name, "variable", found, span)
    return InKernel(found.id, found.fd)


def _fits(types: Types | None, ours: int, found: KernelType, theirs: int) -> bool:
    """Whether the kernel's type is what the program says; a program may say nothing."""
    if types is None or ours == 0:
        return True
    try:
        return types_are_compatible(types, ours, found.types, theirs)
    except BtfError:
        return False


def _addresses(untyped: dict[str, _Found]) -> dict[str, int | None]:
    if not untyped:
        return {}
    found = kallsyms.addresses(untyped)
    wrong = []
    for name, (ref, span) in untyped.items():
        if name not in found and not ref.weak:
            wrong.append(_no_symbol(name, "symbol", span))
    if wrong:
        raise LoadError(*wrong, errno=errno.ESRCH)
    return {name: found.get(name) for name in untyped}


def _check_weak(ref: KfuncRef | KsymRef, what: str, span: Location | None) -> None:
    if not ref.weak:
        raise LoadError(_no_symbol(ref.name, what, span), errno=errno.ESRCH)


def _no_symbol(name: str, what: str, span: Location | None) -> Diagnostic:
    hint = "declare it __weak and check it with bpf_ksym_exists() where it may be missing"
    return error("load-symbol", f"the kernel has no {what} {name!r}", span, hint=hint)


def _other_type(name: str, what: str, found: KernelType, span: Location | None) -> LoadError:
    where = f"module {found.module}" if found.module else "the kernel"
    message = f"{what} {name!r} of {where} has another type than the program says"
    return LoadError(error("load-symbol", message, span), errno=errno.EINVAL)
