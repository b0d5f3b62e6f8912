"""Running a program once, without attaching it: in the kernel or in the virtual machine."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from ebpfasm.analysis.vm import RunResult, VirtualMachine, World
from ebpfasm.analysis.vm.context import Context, layout, pack
from ebpfasm.analysis.vm.machine import BUDGET, Machine
from ebpfasm.analysis.vm.result import changes
from ebpfasm.analysis.vm.virtual import Engine as MachineEngine
from ebpfasm.errors import EbpfError, LoadError, NotSupported, error, unsupported
from ebpfasm.ir.specs import ProgramSpec, alone, need_program

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.coverage import Coverage
    from ebpfasm.runtime.collection import Collection

__all__ = [
    "IS_LINUX",
    "NO_KERNEL",
    "Contents",
    "Context",
    "Engine",
    "RunResult",
    "kernel_only",
    "kernel_run",
    "may_fall_back",
    "need_linux",
    "reason",
    "run",
    "snapshot",
    "virtual_machine",
]

# "vm" is the virtual machine, in C where the native core is built; "reference" always in Python
Engine = Literal["auto", "kernel", "vm", "reference"]
Contents = Mapping[str, Mapping[Any, Any]]

IS_LINUX = sys.platform.startswith("linux")

# Answers of bpf(2) that say that this process may not use it at all.
NO_KERNEL = frozenset({errno.EPERM, errno.ENOSYS})


def run(
    program: ProgramSpec,
    data: bytes = b"",
    *,
    ctx: Context | None = None,
    maps: Contents | None = None,
    repeat: int = 1,
    engine: Engine = "auto",
    trace: bool = False,
    **options: Any,
) -> RunResult:
    """Run a program on `data` and `ctx`; `maps` gives first contents of the maps that it names.

    "auto" is the kernel where it may be used and can run programs of this type, and otherwise
    the virtual machine, and `fallback` says why; a trace, or an option of the machine, asks for
    the machine, and "kernel" refuses them by NotSupported (but `kconfig`, which loading takes).
    Raises LoadError and what else loading raises, VmError where the virtual machine stops the
    program.
    """
    _check(program, data, engine)
    fallback = ""
    if engine == "kernel":
        kernel_only(options, trace=trace)
    if engine == "kernel" or (engine == "auto" and not trace and not options):
        try:
            need_linux()
            kconfig = options.get("kconfig")
            return _run_in_kernel(program, data, ctx, maps or {}, repeat, kconfig)
        except (EbpfError, ImportError) as problem:
            if engine == "kernel" or not may_fall_back(problem):
                raise
            fallback = reason(problem)
    native = engine != "reference"
    machine = virtual_machine(program, maps=maps, native=native, **options)
    result = machine.run(data, ctx, repeat=repeat, trace=trace)
    return replace(result, fallback=fallback) if fallback else result


def kernel_only(options: Iterable[str], *, trace: bool = False) -> None:
    """Raise NotSupported for what is asked of the kernel and only the virtual machine has."""
    lacking = [name for name in options if name != "kconfig"] + (["trace"] if trace else [])
    if lacking:
        names = ", ".join(lacking)
        message = f"the kernel has no {names}: only the virtual machine has"
        hint = 'say engine="vm"'
        raise NotSupported(error("not-supported", message, hint=hint), feature=names, since="")


def _check(program: object, data: object, engine: str) -> None:
    """What Python would only tell in the words of its own inside."""
    need_program(program, "run")
    if isinstance(data, str):
        raise TypeError("data is bytes, as in bytes.fromhex('0200'), not str")
    if engine not in get_args(Engine):
        raise ValueError(f"engine is one of {', '.join(get_args(Engine))}, not {engine!r}")


def need_linux() -> None:
    """Raise NotSupported where there is no kernel to ask."""
    if not IS_LINUX:
        raise unsupported("running in a kernel that is no Linux")


def may_fall_back(problem: Exception) -> bool:
    """Whether it only says that the kernel may not be used, or cannot run such programs."""
    if isinstance(problem, LoadError):
        return problem.errno in NO_KERNEL
    return isinstance(problem, NotSupported | ImportError)


def reason(problem: Exception) -> str:
    """What stood in the way of the kernel, in a line."""
    if isinstance(problem, EbpfError):
        return problem.diagnostics[0].message
    return str(problem)


def virtual_machine(
    program: ProgramSpec,
    *,
    maps: Contents | None = None,
    native: bool = True,
    coverage: Coverage | None = None,
    world: World | None = None,
    budget: int = BUDGET,
    functions: Mapping[str | int, Callable[..., int]] | None = None,
    kconfig: Mapping[str, str | int | bool] | None = None,
    **options: Any,
) -> VirtualMachine:
    """Make a machine for a program: with the native engine where it is built, and wanted.

    With `coverage` the reference engine runs it and counts lines there.
    `functions` are Python functions in place of helpers and kernel functions, `kconfig` values of
    .kconfig variables by name; the other options make the world another one
    (ebpfasm.analysis.vm.World). Raises LinkError and VmError.
    """
    from ebpfasm.analysis.vm import Interpreter
    from ebpfasm.native import native_core
    from ebpfasm.runtime.vm.engine import NativeEngine

    if functions is not None:
        options["functions"] = functions
    engine: Callable[[Machine], MachineEngine]
    if coverage is not None:
        engine = partial(Interpreter, observer=coverage)
    else:
        engine = NativeEngine if native and native_core() is not None else Interpreter
    machine = VirtualMachine(
        program, maps=maps, world=world, budget=budget, engine=engine, **options
    )
    if coverage is not None:
        coverage.watch(machine.machine.code)
    if program.kconfig and world is None and ".kconfig" not in (maps or {}):
        from ebpfasm.runtime.vm.kconfig import configure

        configure(machine.world, program.kconfig.values(), kconfig or {})
    return machine


def _run_in_kernel(
    program: ProgramSpec,
    data: bytes,
    ctx: Context | None,
    maps: Contents,
    repeat: int,
    kconfig: Mapping[str, str | int | bool] | None,
) -> RunResult:
    from ebpfasm.runtime.loader import load

    with load(alone(program), kconfig=kconfig) as collection:
        for name, contents in maps.items():
            if name not in collection.maps:
                message = f"program {program.name!r} has no map {name!r}"
                raise LoadError(error("map-operation", message, program.span))
            collection.maps[name].update(contents)
        return kernel_run(collection, program, data, ctx, repeat)


def kernel_run(
    collection: Collection, program: ProgramSpec, data: bytes, ctx: Context | None, repeat: int = 1
) -> RunResult:
    """Run a loaded program by BPF_PROG_TEST_RUN. Raises what Program.test_run raises."""
    from ebpfasm.runtime.running.sent import reading

    raw = _context(program, data, ctx)
    names = {each.name for each in program.maps} & collection.maps.keys()
    maps = [collection.maps[name] for name in sorted(names)]
    with reading(maps, program) as sent:
        before = snapshot(collection)
        outcome = collection.programs[program.name].test_run(data, repeat=repeat, ctx=raw)
        after = snapshot(collection)
        events = sent.take() if sent is not None else None
    return RunResult(
        retval=outcome.retval,
        data_out=outcome.data_out,
        duration_ns=outcome.duration_ns,
        engine="kernel",
        maps=after,
        ctx_out=outcome.ctx_out,
        changes=changes(before, after),
        printk=None,
        events=events,
    )


def _context(program: ProgramSpec, data: bytes, ctx: Context | None) -> bytes | None:
    """The context as the kernel takes it: it wants the frame's length in xdp_md itself."""
    if ctx is None or isinstance(ctx, bytes):
        return ctx
    shape = layout(program.type, program.attach_type)
    if isinstance(ctx, tuple):
        return bytes(pack(shape, ctx))
    if shape.struct == "xdp_md" and not {"data", "data_end"} & ctx.keys():
        ctx = {**ctx, "data_end": len(data)}
    return bytes(pack(shape, ctx))


def snapshot(collection: Collection) -> dict[str, dict[Any, Any]]:
    """Copies of the maps; rings and queues, which cannot be walked, show nothing."""
    found: dict[str, dict[Any, Any]] = {}
    for name, each in collection.maps.items():
        try:
            found[name] = each.snapshot()
        except LoadError:
            found[name] = {}
    return found
