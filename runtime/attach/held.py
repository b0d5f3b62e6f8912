"""What an attachment without a kernel object holds on to: a program and a network namespace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_HERE = "/proc/thread-self/ns/net"


class Held:
    """Copies of the program's descriptor and of the calling thread's network namespace.

    Both must outlast the Program object and the caller's stay in the namespace. Raises OSError.
    """

    def __init__(self, program: Attachable) -> None:
        self.program_id = program.id
        self.name = program.name
        self.namespace = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.program = os.dup(program.fd)
        except OSError:
            os.close(self.namespace)
            raise

    def take(self, program: Attachable) -> None:
        """Hold another program instead. Raises OSError."""
        copy, number = os.dup(program.fd), program.id
        os.close(self.program)
        self.program, self.program_id, self.name = copy, number, program.name

    def close(self) -> None:
        """Give both back."""
        os.close(self.program)
        os.close(self.namespace)
