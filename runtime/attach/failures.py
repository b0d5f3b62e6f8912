"""How an attachment fails: in words, with what to do instead."""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import TYPE_CHECKING

from ebpfasm.errors import LoadError, NotSupported, error, unsupported
from ebpfasm.isa.kinds import LINK_TYPES
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

# What kernels answer that do not know a command, an attach type or a kind of link.
UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


def failed(
    program: Attachable,
    where: str,
    number: int,
    *,
    why: str = "",
    hint: str | None = None,
    needs: tuple[str, ...] = (),
) -> LoadError:
    """The error for a program that the kernel does not attach to `where`."""
    if not why and number in (errno.EBUSY, errno.EEXIST):
        why = "another program is there, or this one already"
    what = f"attach {program.name!r} to {where}"
    span = program.spec.span
    return refused("attach-failed", what, number, why=why, needs=needs, span=span, hint=hint)


def impossible(program: Attachable, message: str, *, hint: str | None = None) -> LoadError:
    """The error for what cannot be, whatever the kernel says: `message` is the reason."""
    text = f"cannot attach {program.name!r}: {message}"
    return LoadError(error("attach-failed", text, program.spec.span, hint=hint), errno=errno.EINVAL)


def check_type(program: Attachable, *types: str) -> None:
    """See that a program is of one of these types. Raises LoadError."""
    if program.type not in types:
        from ebpfasm.isa.sections import SECTIONS

        wanted = " or ".join(types)
        names = [each.name for each in SECTIONS if each.program_type in types]
        plain = next((name for name in names if "/" not in name), names[0] if names else "")
        hint = f"put it into a section that says so, such as {plain}" if names else None
        message = f"it is of type {program.type or 'unknown'}, not {wanted}"
        raise impossible(program, message, hint=hint)


def check_attach_type(program: Attachable, *names: str) -> None:
    """See that a program was loaded for one of these attach types. Raises LoadError.

    Programs that were opened by id or pin do not say: the kernel decides then.
    """
    found = program.spec.attach_type
    if found not in names and (found or program.spec.section):
        message = f"it was loaded for {found or 'no attach type'}, not {' or '.join(names)}"
        raise impossible(program, message, hint=f"its section is {program.spec.section!r}")


def no_links(type: str, feature: str, *, hint: str | None = None) -> NotSupported:
    """The error for a kind of link that this kernel lacks; the table says who has it."""
    return unsupported(feature, LINK_TYPES.by_name[type].since, hint=hint)


@cache
def has_link_type(name: str) -> bool | None:
    """Ask the kernel's BTF whether it has a kind of link; None where it has no BTF."""
    return in_kernel_types(LINK_TYPES.by_name[name].c_name)


@cache
def in_kernel_types(name: str) -> bool | None:
    """Whether the kernel's BTF has a type, function or enumerator of that name."""
    try:
        with open("/sys/kernel/btf/vmlinux", "rb") as file:
            return os.fsencode(f"\0{name}\0") in file.read()
    except OSError:
        return None
