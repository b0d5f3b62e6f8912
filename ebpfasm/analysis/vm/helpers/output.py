"""Helpers that write the output of iterators. The machine keeps it as events of kind "output"."""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.text import format_text, template_at, values_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.world import Event


@helper("seq_printf")
def seq_printf(machine: Machine, seq: int, format: int, size: int, data: int, length: int) -> int:
    """Print values from an array."""
    template = template_at(machine, format, size & U32)
    text = format_text(machine, template, values_at(machine, data, length & U32))
    if text is None:
        return -errno.EINVAL
    machine.world.events.append(Event("output", data=text))
    return 0


@helper("seq_write")
def seq_write(machine: Machine, seq: int, data: int, length: int) -> int:
    """Write bytes."""
    content = machine.memory.read(data, length & U32)
    machine.world.events.append(Event("output", data=content))
    return 0
