"""Both engines of the virtual machine side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ebpfasm.errors import EbpfError, VmError
from ebpfasm.ir import ProgramSpec
from ebpfasm.runtime.running.once import virtual_machine

ENGINES = ("reference", "native")


@dataclass(frozen=True)
class Outcome:
    """What a run came to: r0, or what was wrong, and all that can be seen besides."""

    r0: int | None
    wrong: str
    packet: bytes = b""
    ctx: bytes = b""
    stack: bytes = b""
    count: int = 0
    maps: str = ""
    events: str = ""


def outcome(
    program: ProgramSpec,
    data: bytes = bytes(64),
    *,
    native: bool,
    budget: int = 10_000,
    maps: Mapping[str, Mapping[Any, Any]] | None = None,
    **options: Any,
) -> Outcome:
    """Run a program once."""
    try:
        machine = virtual_machine(program, native=native, budget=budget, maps=maps, **options)
        r0 = machine.execute(data)
    except VmError as problem:
        return Outcome(None, str(problem))
    except EbpfError as problem:
        return Outcome(None, f"{type(problem).__name__} {problem}")
    inner = machine.machine
    return Outcome(
        r0,
        "",
        inner.packet_out(),
        bytes(inner.ctx.host),
        bytes(inner.frames[0].host),
        machine.engine.count,
        repr(machine.snapshot()),
        repr((machine.world.events, machine.world.printk)),
    )


def both(program: ProgramSpec, data: bytes = bytes(64), **options: Any) -> Outcome:
    """Run a program in both engines, which must agree in everything."""
    reference = outcome(program, data, native=False, **options)
    assert outcome(program, data, native=True, **options) == reference
    return reference
