"""BPF_PROG_ATTACH: a program set on an object by descriptor, without a link of its own."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.attach.held import Held
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.links import Attachment
from ebpfasm.runtime.refusals import NETWORK, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

# target, program, attach type, flags, program to replace, neighbour, expected revision
_ATTACH = struct.Struct("=IIIIIIQ")


class ProgAttachment(Attachment):
    """A program set by BPF_PROG_ATTACH: it stays until it is taken off.

    A process that is killed cannot do that; a BPF link is better where the kernel has it.
    """

    def __init__(
        self, kind: str, program: Attachable, target: int, attach_type: str, where: str
    ) -> None:
        self.kind = kind
        self.where = where
        self._attach_type = attach_type
        self._held = Held(program)
        try:
            self._target = os.dup(target)
        except OSError:
            self._held.close()
            raise
        self._set = False
        self._flags = 0
        super().__init__()

    def set(self, *, flags: int = 0, neighbour: int = 0, replaced: int = 0) -> None:
        """Attach; where that fails, give up what is held. Raises OSError.

        The link is known to the exit handler before the program is on the hook: a Ctrl-C in
        between finds something to detach.
        """
        try:
            self._call(syscall.PROG_ATTACH, self._held.program, flags, replaced, neighbour)
        except OSError:
            self.close()
            raise
        except BaseException:
            self._set = True
            self.detach()
            raise
        self._set = True
        self._flags = flags & ~CONSTANTS["BPF_F_REPLACE"]

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in place (Linux 5.5). Raises as Link.update does."""
        self._check_open()
        flags = self._flags | CONSTANTS["BPF_F_REPLACE"]
        old = self._held.program if expected is None else expected.fd
        try:
            self._call(syscall.PROG_ATTACH, program.fd, flags, old, 0)
        except OSError as refusal:
            number = refusal.errno or 0
            why = "the program in place is another one" if number == errno.ENOENT else ""
            what = f"put {program.name!r} in place of the program"
            raise refused("attach-failed", what, number, why=why, needs=NETWORK) from None
        self._held.take(program)

    def info(self) -> LinkInfo:
        """What is known of the attachment; the kernel has no object for it."""
        self._check_open()
        details: dict[str, object] = {"attach_type": self._attach_type}
        if self.kind == "cgroup-attach":
            details["cgroup_id"] = os.fstat(self._target).st_ino
        return LinkInfo(0, self.kind.removesuffix("-attach"), self._held.program_id, 0, details)

    def _release(self, *, detach: bool) -> None:
        try:
            if detach and self._set:
                self._call(syscall.PROG_DETACH, self._held.program, 0, 0, 0)
        except OSError as refusal:
            number = refusal.errno or 0
            if number not in (errno.ENOENT, errno.ENODEV):  # it is off already
                what = f"detach the program from {self.where}"
                raise refused("attach-failed", what, number, needs=NETWORK) from None
        finally:
            self._held.close()
            os.close(self._target)

    def _call(self, command: int, program: int, flags: int, replaced: int, neighbour: int) -> None:
        number = ATTACH_TYPES.id_of(self._attach_type) or 0
        # Kernels before 6.6 want zeros behind what they know.
        packed = _ATTACH.pack(self._target, program, number, flags, replaced, neighbour, 0)
        syscall.bpf(command, bytearray(packed))
