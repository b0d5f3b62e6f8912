"""BPF_PROG_LOAD: one program into the kernel, first without a log, then with one."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import field, replace

from ebpfasm.errors import LoadError, NotSupported, error, unsupported
from ebpfasm.frozen import dataclass
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa import sections
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.loading.device import NO_DEVICE, Device
from ebpfasm.runtime.loading.log import Poison, diagnose
from ebpfasm.runtime.loading.object_btf import NO_DEBUG, ProgramDebug
from ebpfasm.runtime.loading.targets import NOWHERE, Target
from ebpfasm.runtime.objects import kernel_name
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.refusals import meaning, refused, rights_for
from ebpfasm.runtime.release import is_older_than, kernel_version

_SLOT = 8  # bytes
_LOG_FIRST = 1 << 18
# The largest that every kernel takes: the limit was 24 bits before Linux 5.13 or so.
_LOG_MOST = (1 << 24) - 1
_LOG_TRUE_SIZE = 140  # where newer kernels say how long the log would have been

# union bpf_attr for BPF_PROG_LOAD: type, count, instructions, licence, log level, size and place,
# kern_version, flags, name, ifindex, attach type, BTF, func_info, line_info, what it is attached
# to, core_relo_cnt, fd_array, core_relos and their size, log_true_size, token, fd_array_cnt
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQIIIIQQIIiI")

_TOKEN_FLAG = CONSTANTS["BPF_F_TOKEN_FD"]
_UNKNOWN = frozenset({errno.EINVAL, errno.E2BIG})  # what kernels say to attributes they know not


@dataclass(frozen=True, slots=True)
class ProgramLoad:
    """One program, all of its references resolved, on its way into the kernel.

    `poisons` says of slots that must never be reached why they are so. `fd_array` are the
    descriptors that calls of modules' functions index; `token` is a BPF token's, 0 for none.
    """

    linked: LinkedProgram
    kind: int
    code: bytearray
    attach_type: int = 0
    debug: ProgramDebug = NO_DEBUG
    target: Target = NOWHERE
    fd_array: bytearray = field(default_factory=bytearray)
    poisons: Mapping[int, Poison] = field(default_factory=dict)
    token: int = 0
    name: bytes | None = None
    device: Device = NO_DEVICE

    def load(self, log_level: int) -> Program:
        """Load; where that fails, once more with a log. Raises LoadError with what it says.

        NotSupported where the type is newer than the kernel.
        """
        if log_level == 0:
            try:
                return self._program(self._attempt(0, bytearray()))
            except OSError as failure:
                if failure.errno == errno.EPERM:
                    raise self._refusal(failure, "") from None
        size = _LOG_FIRST
        while True:
            log = bytearray(size)
            try:
                return self._program(self._attempt(log_level or 1, log), _text(log))
            except _Refused as caught:
                refusal = caught
            if refusal.errno != errno.ENOSPC:
                return self._with_less(refusal, _text(log))
            if size == _LOG_MOST:
                return self._with_a_part(_text(log), is_end=refusal.needed > 0)
            size = min(max(size * 8, refusal.needed), _LOG_MOST)

    def _program(self, fd: int, log: str = "") -> Program:
        spec = self.linked.program
        _, bound = self.device.of_program(spec)
        return Program(replace(spec, flags=spec.flags | bound) if bound else spec, fd, log)

    def _attempt(self, log_level: int, log: bytearray) -> int:
        """Load and return the descriptor; the log is filled as far as it goes. Raises _Refused."""
        spec, debug = self.linked.program, self.debug
        license = bytearray(spec.license.encode("utf-8", "surrogateescape") + b"\0")
        name = kernel_name(spec.name) if self.name is None else self.name
        ifindex, bound = self.device.of_program(spec)
        attributes = bytearray(_LOAD.pack(
            self.kind, len(self.code) // _SLOT,
            syscall.address(self.code), syscall.address(license),
            log_level, len(log), syscall.address(log),
            spec.version or kernel_version(),
            spec.flags | bound | (_TOKEN_FLAG if self.token else 0),
            name, ifindex, self.attach_type, debug.fd,
            debug.func_size, syscall.address(debug.func_info), debug.func_count,
            debug.line_size, syscall.address(debug.line_info), debug.line_count,
            self.target.btf_id, self.target.fd, 0, syscall.address(self.fd_array), 0, 0, 0,
            self.token, 0,
        ))  # fmt: skip
        try:
            return syscall.bpf(syscall.PROG_LOAD, attributes)
        except OSError as failure:
            (needed,) = struct.unpack_from("=I", attributes, _LOG_TRUE_SIZE)
            raise _Refused(failure.errno or 0, needed) from None

    def _with_less(self, failure: OSError, log: str) -> Program:
        """Try without what old kernels do not know, where that may be why this one refuses."""
        if not log and failure.errno in _UNKNOWN:
            for fewer in self._fewer():
                try:
                    return self._program(fewer._attempt(0, bytearray()))
                except OSError:
                    continue
        raise self._refusal(failure, log)

    def _fewer(self) -> list[ProgramLoad]:
        """Without source lines (Linux 5.0), name (4.15) and attach type (4.17)."""
        bare = replace(self, debug=NO_DEBUG)
        nameless = replace(bare, name=b"")
        found = [bare, nameless] if self.debug.fd else [nameless]
        match = sections.resolve(self.linked.program.section)
        if self.attach_type and match is not None and match.spec.optional_attach_type:
            found.append(replace(nameless, attach_type=0))
        return found

    def _with_a_part(self, log: str, *, is_end: bool) -> Program:
        """Load though the log is longer than it may be; `log` is a part of it.

        Kernels that know how long the whole is keep the end, older ones the beginning, which
        accuses nobody.
        """
        try:
            return self._program(self._attempt(0, bytearray()), log)
        except OSError as failure:
            if is_end:
                raise self._refusal(failure, log) from None
            message = (
                f"the kernel refuses program {self.linked.name!r} "
                f"({meaning(failure.errno or 0)}) with a log longer than {_LOG_MOST} bytes"
            )
            wrong = error("load-rejected", message, self.linked.program.span)
            raise LoadError(wrong, errno=failure.errno or 0, log=log) from None

    def _refusal(self, failure: OSError, log: str) -> LoadError | NotSupported:
        """Explain a failure by the log, or by its errno where the log does not help."""
        number = failure.errno or 0
        spec = self.linked.program
        if log.strip() or number == errno.EACCES:
            found = diagnose(self.linked, log, meaning(number), self.poisons)
            return LoadError(found, errno=number, log=log)
        row = PROGRAM_TYPES.by_id.get(self.kind)
        if number == errno.EINVAL and row is not None and is_older_than(row.since):
            return unsupported(f"program type {row.name}", row.since, span=spec.span)
        why = {
            errno.E2BIG: f"{len(self.code) // _SLOT} slots are more than it takes",
            errno.EINVAL: f"it does not take this program type ({spec.type}), attach type or flags",
        }.get(number, "")
        why = self.device.refusal(spec, number) or why
        what = f"load program {spec.name!r}"
        return refused(
            "load-failed", what, number, why=why, needs=rights_for(spec.type), span=spec.span
        )


class _Refused(OSError):
    """The kernel's refusal, and how long its log is where the kernel tells."""

    def __init__(self, number: int, needed: int) -> None:
        super().__init__(number, meaning(number))
        self.needed = needed


def type_number(spec: ProgramSpec) -> int:
    """The number of a program's type. Raises LoadError of the code "load-program-type"."""
    number = PROGRAM_TYPES.id_of(spec.type) if spec.type else None
    if number is not None:
        return number
    from ebpfasm.asm.spelling import did_you_mean
    from ebpfasm.isa.sections import SECTIONS

    word = spec.section.removeprefix("?").partition("/")[0]
    hint = None if word == ".text" else did_you_mean(word, (each.name for each in SECTIONS))
    hint = hint or 'name the section after the type, as in .section xdp or SEC("xdp")'
    if spec.type:
        message = f"program {spec.name!r}: there is no program type {spec.type!r}"
    elif spec.section:
        message = f"program {spec.name!r}: section {spec.section!r} tells no program type"
    else:
        message = f"program {spec.name!r} has no section that tells its program type"
    raise LoadError(error("load-program-type", message, spec.span, hint=hint), errno=errno.EINVAL)


def attach_type_number(spec: ProgramSpec) -> int:
    """The number of a program's attach type, 0 for none. Raises LoadError, as above."""
    if not spec.attach_type:
        return 0
    number = ATTACH_TYPES.id_of(spec.attach_type)
    if number is None:
        message = f"program {spec.name!r}: there is no attach type {spec.attach_type!r}"
        raise LoadError(error("load-program-type", message, spec.span), errno=errno.EINVAL)
    return number


def _text(log: bytearray) -> str:
    return log.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
