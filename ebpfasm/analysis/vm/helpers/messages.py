"""Helpers on the message of an sk_msg program."""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.message import Message
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa import contexts


def _message(machine: Machine, msg: int) -> Message:
    owner(machine, msg, "sk_msg_md")
    assert machine.message is not None
    return machine.message


def _tell_size(machine: Machine, message: Message) -> None:
    field = contexts.field("sk_msg_md.size")
    assert field is not None
    machine.ctx.host[field.offset : field.offset + 4] = message.size.to_bytes(4, sys.byteorder)


@helper("msg_apply_bytes")
def msg_apply_bytes(machine: Machine, msg: int, count: int) -> int:
    """Record for how many bytes the verdict holds."""
    _message(machine, msg)
    machine.world.events.append(Event("msg_apply_bytes", key=count & U32))
    return 0


@helper("msg_cork_bytes")
def msg_cork_bytes(machine: Machine, msg: int, count: int) -> int:
    """Record how many bytes are to come before the next verdict."""
    _message(machine, msg)
    machine.world.events.append(Event("msg_cork_bytes", key=count & U32))
    return 0


@helper("msg_pull_data")
def msg_pull_data(machine: Machine, msg: int, start: int, end: int, flags: int) -> int:
    """Show a range of the message, in one piece."""
    message = _message(machine, msg)
    return -errno.EINVAL if flags else message.pull(start & U32, end & U32)


@helper("msg_push_data")
def msg_push_data(machine: Machine, msg: int, start: int, length: int, flags: int) -> int:
    """Put zeros into the message; what a program sees is its first piece again."""
    message = _message(machine, msg)
    result = -errno.EINVAL if flags else message.push(start & U32, length & U32)
    _tell_size(machine, message)
    return result


@helper("msg_pop_data")
def msg_pop_data(machine: Machine, msg: int, start: int, length: int, flags: int) -> int:
    """Take bytes out of the message; what a program sees is its first piece again."""
    message = _message(machine, msg)
    result = -errno.EINVAL if flags else message.pop(start & U32, length & U32)
    _tell_size(machine, message)
    return result
