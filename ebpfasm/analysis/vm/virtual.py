"""A program and its world to run packet after packet on: the machine as its users have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ebpfasm.analysis.vm.code import kfunc_name
from ebpfasm.analysis.vm.context import Context
from ebpfasm.analysis.vm.machine import BUDGET, Machine
from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.reference import Interpreter
from ebpfasm.analysis.vm.result import RunResult, changes
from ebpfasm.analysis.vm.trace import Tracer
from ebpfasm.analysis.vm.world import World
from ebpfasm.errors import VmError, error
from ebpfasm.ir.link import LinkedProgram, link
from ebpfasm.ir.specs import ProgramSpec

Contents = Mapping[str, Mapping[Any, Any]]


class Engine(Protocol):
    """What runs a machine's steps."""

    @property
    def count(self) -> int:
        """Instructions of the last run."""

    def run(self, *arguments: int) -> int:
        """Run the program and return r0. Raises VmError."""

    def run_from(self, start: int, *arguments: int) -> int:
        """Run a function of the program by itself. Raises VmError."""

    def call(self, address: int, *arguments: int) -> int:
        """Run a callback for a helper."""

    def places(self) -> tuple[int, ...]:
        """The addresses of the instructions that are running, the innermost call first."""


class VirtualMachine:
    """A program that can be run again and again; its maps keep their contents in between.

    `maps` gives first contents. A `world` may be shared by programs with the same maps; without
    one a new world is made, with the further options of World. Raises LinkError, and VmError for
    maps that the machine cannot have.
    """

    def __init__(
        self,
        program: ProgramSpec | LinkedProgram,
        *,
        maps: Contents | None = None,
        world: World | None = None,
        budget: int = BUDGET,
        engine: Callable[[Machine], Engine] = Interpreter,
        **options: Any,
    ) -> None:
        linked = link(program) if isinstance(program, ProgramSpec) else program
        self.world = world if world is not None else World(linked.maps, **options)
        self.world.fill(maps or {})
        self.machine = Machine(linked, self.world, budget=budget)
        if world is None:
            self._check_functions()
        self.engine = engine(self.machine)

    def _check_functions(self) -> None:
        """Refuse functions that stand for nothing: a misspelt name would never be called."""
        steps = self.machine.code.steps
        called = {kfunc_name(step.instruction) for step in steps}
        for name in self.world.kfuncs:
            if name not in called:
                message = f"{name!r} is no helper, and the program calls no such kernel function"
                raise VmError(error("vm-helper", message))

    @property
    def maps(self) -> Mapping[str, VmMap]:
        """The maps by name."""
        return self.world.maps

    def execute(self, data: bytes = b"", ctx: Context | None = None) -> int:
        """Run the program and return all 64 bits of r0: the quickest way. Raises VmError."""
        return self.engine.run(*self.machine.begin(data, ctx))

    def run(
        self,
        data: bytes = b"",
        ctx: Context | None = None,
        *,
        repeat: int = 1,
        trace: bool = False,
    ) -> RunResult:
        """Run the program on a packet and say all that came out. Raises VmError.

        A repeated run begins with the same packet and what the maps hold by then. With `trace`
        the reference engine runs it and writes every step down.
        """
        before = self.snapshot()
        tracer = Tracer() if trace else None
        engine = Interpreter(self.machine, tracer) if tracer is not None else self.engine
        begin = time.perf_counter_ns()
        for _ in range(repeat):
            r0 = engine.run(*self.machine.begin(data, ctx))
        duration = (time.perf_counter_ns() - begin) // repeat
        if tracer is not None and isinstance(engine, Interpreter):
            tracer.finish(engine)
            self.machine.engine = self.engine  # the reference took its place
        after = self.snapshot()
        return RunResult(
            retval=r0 & 0xFFFFFFFF,
            data_out=self.machine.packet_out(),
            duration_ns=duration,
            engine="vm",
            maps=after,
            ctx_out=self.machine.ctx_out() if ctx is not None else b"",
            changes=changes(before, after),
            printk=tuple(self.world.printk),
            events=tuple(self.world.events),
            instructions=engine.count,
            r0=r0,
            trace=tuple(tracer.steps) if tracer is not None else (),
        )

    def advance(self, nanoseconds: int) -> int:
        """Let time pass, and timers fire in the order they are due; return how many did.

        A timer's callback gets the map, the key and the value, as in the kernel, and may set the
        timer again. Raises VmError.
        """
        world, end = self.world, self.world.now + nanoseconds
        fired = 0
        while True:
            due = [(timer.due, at) for at, timer in world.timers.items() if timer.due is not None]
            if not due or min(due)[0] > end:
                break
            world.now, address = max(world.now, min(due)[0]), min(due)[1]
            self._fire(address)
            fired += 1
        world.now = end
        return fired

    def _fire(self, address: int) -> None:
        timer = self.world.timers[address]
        timer.due = None
        owner = self.world.map_at(timer.map)
        for key, value in owner.addresses():
            if value <= address < value + owner.value_size:
                region = self.world.memory.add("data", "the key", bytearray(key), writable=False)
                try:
                    start = self.machine.function_at(timer.callback)
                    self.engine.run_from(start, timer.map, region.address, value)
                finally:
                    self.world.memory.free(region)
                return

    def verdicts(self, packets: Iterable[bytes]) -> list[int]:
        """Run the program on each packet; return what it said of each, unsigned. Raises VmError."""
        return [self.execute(packet) & 0xFFFFFFFF for packet in packets]

    def snapshot(self) -> dict[str, dict[Any, Any]]:
        """A copy of each map."""
        return {name: each.snapshot() for name, each in self.world.maps.items()}
