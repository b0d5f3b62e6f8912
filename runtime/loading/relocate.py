"""CO-RE at load: one object's relocations, answered by the running kernel's types or given ones."""

from __future__ import annotations

import errno

from ebpfasm.btf.core import Resolver
from ebpfasm.btf.index import BtfIndex
from ebpfasm.errors import LoadError, error
from ebpfasm.ir.core import resolve_core
from ebpfasm.ir.debug import ObjectDebug
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.references import CoreRef
from ebpfasm.ir.specs import ProgramSpec, references_of
from ebpfasm.runtime import kernel_btf
from ebpfasm.runtime.loading.log import Poison

_HINT = "check it first, with bpf_core_field_exists() and its like"


class CoreRelocations:
    """Answers the relocations of one object; `target` is what is given in the kernel's place."""

    def __init__(self, debug: ObjectDebug | None, target: BtfIndex | None) -> None:
        self._debug, self._target = debug, target
        self._resolver: Resolver | None = None

    def apply(self, program: ProgramSpec) -> tuple[ProgramSpec, dict[tuple[str, int], str]]:
        """The program with its answers, and what is missing by function and slot in it.

        Raises LinkError for each relocation that cannot be resolved, NotSupported where the kernel
        has no types.
        """
        streams = program.instructions, *(each.instructions for each in program.functions)
        if not any(isinstance(ref, CoreRef) for each in streams for ref in references_of(each)):
            return program, {}
        if self._resolver is None:
            self._resolver = self._made(program)
        found = resolve_core(program, self._resolver)
        return found.program, dict(found.poisons)

    def _made(self, program: ProgramSpec) -> Resolver:
        if self._debug is None:
            message = f"program {program.name!r} has CO-RE relocations, and there are no types"
            wrong = error("link-unresolved", message, program.span)
            raise LoadError(wrong, errno=errno.EINVAL)
        if self._target is not None:
            return Resolver(self._debug.btf, self._target, where="the BTF that is given")
        return Resolver(
            self._debug.btf,
            kernel_btf.vmlinux(),
            lambda: kernel_btf.readable_modules().values(),
        )


def poisons_of(linked: LinkedProgram, missing: dict[tuple[str, int], str]) -> dict[int, Poison]:
    """What is missing by the slots of the linked program."""
    starts = {each.name: each.slot for each in linked.functions}
    return {
        starts[function] + slot: Poison("load-relocation", what, _HINT)
        for (function, slot), what in missing.items()
    }
