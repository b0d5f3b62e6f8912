"""What a question about the kernel is answered with: yes, no or unknown, and why."""

from __future__ import annotations

import errno
from functools import cache

from ebpfasm.btf.types import Enum, Enum64
from ebpfasm.errors import EbpfError
from ebpfasm.frozen import dataclass
from ebpfasm.runtime.refusals import ENOTSUPP


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the kernel can do something: True, False, or None where that cannot be known.

    `evidence` is what the kernel said; `since` the first Linux that has it, empty where no table
    says. An answer is true only where it is a yes.
    """

    supported: bool | None
    evidence: str
    since: str = ""

    def __bool__(self) -> bool:
        return self.supported is True

    @property
    def word(self) -> str:
        """ "yes", "no" or "unknown"."""
        return {True: "yes", False: "no", None: "unknown"}[self.supported]


def name_of(number: int) -> str:
    """An errno's name."""
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"  # and not its other name
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, str(number))


def not_allowed(number: int) -> bool:
    """Whether a refusal says more about us than about the kernel."""
    return number in (errno.EPERM, errno.EACCES)


@cache
def enumerators(enum: str) -> frozenset[str] | None:
    """The names in an enumeration of the kernel's own BTF; None where that cannot be read."""
    from ebpfasm.runtime.kernel_btf import vmlinux

    try:
        types = vmlinux()
        found = [types.get(number) for number in types.find(Enum, enum)]
    except EbpfError:
        return None
    names = {
        value.name for each in found if isinstance(each, Enum | Enum64) for value in each.values
    }
    return frozenset(names) or None


def undeclared(enum: str, c_name: str, since: str) -> Answer | None:
    """A no where the kernel's BTF does not know an enumerator; None where asking must go on."""
    known = enumerators(enum)
    if known is None or c_name in known:
        return None
    return Answer(False, f"the kernel's BTF has no {c_name} in enum {enum}", since)
