"""Running a program on many packets: a capture in, a verdict for each packet out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ebpfasm.analysis.vm import VirtualMachine
from ebpfasm.analysis.vm import pcap as capture
from ebpfasm.errors import EbpfError, VmError, error
from ebpfasm.ir.specs import ProgramSpec, alone
from ebpfasm.native import native_core
from ebpfasm.runtime.running.once import (
    Contents,
    Engine,
    kernel_only,
    may_fall_back,
    need_linux,
    reason,
    snapshot,
    virtual_machine,
)
from ebpfasm.runtime.vm.engine import NativeEngine, packets_of


@dataclass(frozen=True, slots=True)
class PacketsResult:
    """What a program said of each packet, in their order, unsigned, and what came of them.

    `packets_out` is empty unless they were asked for; `instructions` is None for a kernel.
    `duration_ns` is for all of them. `fallback` says why it was not the kernel, where that was to
    be used if it may.
    """

    verdicts: Sequence[int]
    duration_ns: int
    engine: str
    maps: dict[str, dict[Any, Any]]
    instructions: int | None = None
    packets_out: tuple[bytes, ...] = ()
    fallback: str = field(default="", compare=False)


def run_packets(
    program: ProgramSpec,
    packets: bytes | Sequence[bytes],
    *,
    maps: Contents | None = None,
    engine: Engine = "auto",
    packets_out: bool = False,
    **options: Any,
) -> PacketsResult:
    """Run a program on each packet of a sequence, or of a capture file's bytes.

    Engines are those of `run`. Maps keep their contents from packet to packet. Raises LoadError,
    and VmError where the virtual machine stops the program or the capture is damaged.
    """
    fallback = ""
    if engine == "kernel":
        kernel_only(options)
    if engine == "kernel" or (engine == "auto" and not options):
        try:
            need_linux()
            kconfig = options.get("kconfig")
            return _in_kernel(program, _listed(packets), maps or {}, packets_out, kconfig)
        except (EbpfError, ImportError) as problem:
            if engine == "kernel" or not may_fall_back(problem):
                raise
            fallback = reason(problem)
    machine = virtual_machine(program, maps=maps, native=engine != "reference", **options)
    if not packets_out:
        found = _batch(machine, packets)
        if found is not None:
            return replace(found, fallback=fallback)
    verdicts, out, instructions = [], [], 0
    begin = time.perf_counter_ns()
    for each in _listed(packets):
        verdicts.append(machine.execute(each) & 0xFFFFFFFF)
        instructions += machine.engine.count
        if packets_out:
            out.append(machine.machine.packet_out())
    duration = time.perf_counter_ns() - begin
    maps_out = machine.snapshot()
    return PacketsResult(
        verdicts, duration, "vm", maps_out, instructions, tuple(out), fallback=fallback
    )


def _listed(packets: bytes | Sequence[bytes]) -> Sequence[bytes]:
    return list(capture.read(packets)) if isinstance(packets, bytes) else packets


def _batch(machine: VirtualMachine, packets: bytes | Sequence[bytes]) -> PacketsResult | None:
    """All packets in C; None where that cannot be."""
    core, engine = native_core(), machine.engine
    if core is None or not isinstance(engine, NativeEngine):
        return None
    if isinstance(packets, bytes):
        data, offsets, lengths, count = _index(core, packets)
    else:
        count = len(packets)
        data, offsets, lengths = packets_of(core, packets)
    retvals = core.ffi.new("uint32_t[]", max(count, 1))
    begin = time.perf_counter_ns()
    instructions = engine.batch(data, offsets, lengths, retvals, count)
    duration = time.perf_counter_ns() - begin
    if instructions is None:
        return None
    verdicts = memoryview(core.ffi.buffer(retvals, 4 * count)).cast("I") if count else []
    return PacketsResult(verdicts, duration, "vm", machine.snapshot(), instructions)


def _index(core: Any, content: bytes) -> tuple[Any, Any, Any, int]:
    new, index = core.ffi.new, core.lib.ebpfasm_pcap_index
    data = core.ffi.from_buffer("unsigned char[]", content)
    count = index(data, len(content), core.ffi.NULL, core.ffi.NULL, 0)
    if count < 0:
        list(capture.read(content))  # says what is wrong
        raise VmError(error("vm-input", "the capture is damaged"))
    offsets, lengths = new("uint64_t[]", max(count, 1)), new("uint32_t[]", max(count, 1))
    index(data, len(content), offsets, lengths, count)
    return data, offsets, lengths, count


def _in_kernel(
    program: ProgramSpec,
    packets: Sequence[bytes],
    maps: Contents,
    packets_out: bool,
    kconfig: Mapping[str, str | int | bool] | None,
) -> PacketsResult:
    from ebpfasm.runtime.loader import load

    with load(alone(program), kconfig=kconfig) as collection:
        for name, contents in maps.items():
            collection.maps[name].update(contents)
        live = collection.programs[program.name]
        runs = [live.test_run(each) for each in packets]
        after = snapshot(collection)
    out = tuple(run.data_out for run in runs) if packets_out else ()
    duration = sum(run.duration_ns for run in runs)
    return PacketsResult([run.retval for run in runs], duration, "kernel", after, None, out)
