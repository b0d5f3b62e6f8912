"""A collection in whichever engine: one face for the kernel's and the virtual machine's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from ebpfasm.analysis.vm import RunResult, VirtualMachine, World
from ebpfasm.analysis.vm.coverage import Coverage
from ebpfasm.closing import Closing
from ebpfasm.ir.specs import CollectionSpec, ProgramSpec
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.running.once import Context, kernel_only, kernel_run, virtual_machine


class AnyMap(Protocol):
    """What the live map and the virtual machine's have in common, as far as tests go."""

    def __getitem__(self, key: Any) -> Any:
        """The value under a key. Raises KeyError."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Store a value."""

    def __delitem__(self, key: Any) -> None:
        """Take a key away. Raises KeyError."""

    def update(self, contents: Mapping[Any, Any], /) -> None:
        """Store many."""

    def snapshot(self) -> dict[Any, Any]:
        """A copy."""


class AnyProgram:
    """A program of the collection, in its engine.

    `handle` is what a prog_array of the same collection takes as a value.
    """

    def __init__(
        self, name: str, handle: ProgramSpec | Program, run: Callable[..., RunResult]
    ) -> None:
        self.name = name
        self.handle = handle
        self._run = run

    def run(self, data: bytes = b"", *, ctx: Context | None = None, repeat: int = 1) -> RunResult:
        """Run it on a packet or context; maps keep their contents. Raises what `run` raises."""
        return self._run(data, ctx, repeat)

    def verdicts(self, packets: Iterable[bytes]) -> list[int]:
        """Run it on each packet; return what it said of each, unsigned."""
        return [self.run(each).retval for each in packets]

    def __repr__(self) -> str:
        return f"<AnyProgram {self.name!r}>"


class AnyCollection(Closing):
    """Programs and maps by name; all programs see the same maps.

    `world` is the virtual machine's (clock, task, printed lines), None in the kernel. Close it,
    or use it in a with statement.
    """

    def __init__(
        self,
        engine: str,
        programs: Mapping[str, AnyProgram],
        maps: Mapping[str, AnyMap],
        world: World | None,
        opened: ExitStack,
    ) -> None:
        self.engine = engine
        self.programs = programs
        self.maps = maps
        self.world = world
        self._opened = opened

    def run(self, name: str, data: bytes = b"", **options: Any) -> RunResult:
        """Run a program by its name."""
        return self.programs[name].run(data, **options)

    def close(self) -> None:
        """Close what the kernel keeps open for it."""
        self._opened.close()


def open_anywhere(
    spec: CollectionSpec,
    engine: str,
    *,
    coverage: Coverage | None = None,
    kconfig: Mapping[str, str | int | bool] | None = None,
    **options: Any,
) -> AnyCollection:
    """Make a collection ready to run in "kernel", "vm" or "reference".

    `kconfig` gives values of .kconfig variables, as `ebpfasm.load` takes them; the virtual machine
    has no other. `options` are the virtual machine's: of its World, `budget` and `functions`; the
    kernel has none. Raises what `ebpfasm.load` raises, and VmError; NotSupported for options in
    the kernel.
    """
    if engine == "kernel":
        kernel_only(options)
        return _in_kernel(spec, kconfig or {})
    world_options = {name: options.pop(name) for name in _OF_WORLD if name in options}
    world = World(spec.maps.values(), **world_options)
    if spec.kconfig:
        from ebpfasm.runtime.vm.kconfig import configure

        configure(world, spec.kconfig.values(), kconfig or {})
    options |= {"world": world, "coverage": coverage, "native": engine != "reference"}
    for map in spec.maps.values():
        for key, ref in map.initial.items():
            if map.type == "prog_array" and ref.name in spec.programs:
                world.maps[map.name].fill({key: spec.programs[ref.name]})
    programs = {}
    for name, each in spec.programs.items():
        machine = virtual_machine(each, **options)
        programs[name] = AnyProgram(name, each, _vm_run(machine))
    return AnyCollection(engine, programs, world.maps, world, ExitStack())


_OF_WORLD = (
    "cpus", "seed", "now", "functions", "task", "network", "sysctl", "symbols", "counters",
    "branches",
)  # fmt: skip


def _vm_run(machine: VirtualMachine) -> Callable[..., RunResult]:
    return lambda data, ctx, repeat: machine.run(data, ctx, repeat=repeat)


def _in_kernel(spec: CollectionSpec, kconfig: Mapping[str, str | int | bool]) -> AnyCollection:
    from ebpfasm.runtime.loader import load

    with ExitStack() as opened:
        live = opened.enter_context(load(spec, kconfig=kconfig))
        programs = {
            name: AnyProgram(name, live.programs[name], _kernel_run(live, each))
            for name, each in spec.programs.items()
            if name in live.programs  # optional ones are not loaded
        }
        return AnyCollection("kernel", programs, live.maps, None, opened.pop_all())


def _kernel_run(live: Collection, program: ProgramSpec) -> Callable[..., RunResult]:
    return lambda data, ctx, repeat: kernel_run(live, program, data, ctx, repeat)
