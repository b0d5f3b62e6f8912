"""From a CollectionSpec to live maps and programs: all of them, or none."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, assert_never

from ebpfasm.emit.code import Image, image
from ebpfasm.emit.debug import DebugInfo, debug_info
from ebpfasm.errors import Diagnostic, LoadError, error, unsupported
from ebpfasm.ir.link import LinkedProgram, link
from ebpfasm.ir.references import CoreRef, FunctionRef, KfuncRef, KsymRef, LabelRef, MapRef, VarRef
from ebpfasm.ir.specs import CollectionSpec, ProgramSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.log import diagnose
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.objects import kernel_name
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.refusals import meaning, refused, rights_for

_SLOT = 8  # bytes
_LOG_FIRST = 1 << 18
# The largest that every kernel takes: the limit was 24 bits before Linux 5.13 or so.
_LOG_MOST = (1 << 24) - 1
_LOG_TRUE_SIZE = 140  # where newer kernels say how long the log would have been

# union bpf_attr for BPF_PROG_LOAD: type, count, instructions, licence, log level, size and place,
# kern_version, flags, name, ifindex, attach type, BTF, func_info, line_info, what comes later
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQI36x")
_BTF_LOAD = struct.Struct("=QQIIII")


class _Debug(NamedTuple):
    """A program's BTF in the kernel, and its tables; the descriptor is 0 where there is none."""

    fd: int
    func_info: bytearray
    func_size: int
    line_info: bytearray
    line_size: int


_NO_DEBUG = _Debug(0, bytearray(), 0, bytearray(), 0)


def load(spec: CollectionSpec, *, log_level: int = 0) -> Collection:
    """Create a collection's maps and load its programs, in their order.

    With a `log_level` (1, 2, or 4 for statistics; linux/bpf.h) each Program keeps the verifier's
    log. On failure nothing stays open, and LoadError has a diagnostic for every program that was
    refused, at the place of the instruction. Raises LinkError and EncodeError too, and
    NotSupported for references that cannot be resolved here.
    """
    with ExitStack() as opened:
        maps = {name: opened.enter_context(Map.create(each)) for name, each in spec.maps.items()}
        programs: dict[str, Program] = {}
        refusals: list[LoadError] = []
        for name, each in spec.programs.items():
            try:
                programs[name] = opened.enter_context(load_program(each, maps, log_level=log_level))
            except LoadError as refusal:
                refusals.append(refusal)
                if refusal.errno in (errno.EPERM, errno.ENOMEM):
                    break  # the next one fares no better
        if refusals:
            raise _together(refusals)
        opened.pop_all()
        return Collection(programs, maps)


def load_program(spec: ProgramSpec, maps: Mapping[str, Map], *, log_level: int = 0) -> Program:
    """Load one program over maps that are open already. Raises what `load` raises."""
    kind = _number_of(spec)
    linked = link(spec)
    order: ByteOrder = "little" if sys.byteorder == "little" else "big"
    code = _with_maps(linked, image(linked, byteorder=order), maps)
    with _loaded_debug_info(linked, order) as debug:
        return _Loading(linked, kind, code, debug).load(log_level)


class _Loading:
    """One program on its way into the kernel, tried with and without a log."""

    def __init__(self, linked: LinkedProgram, kind: int, code: bytearray, debug: _Debug) -> None:
        self.linked = linked
        self.kind = kind
        self.code = code
        self.debug = debug
        self.true_size = 0

    def attempt(self, log_level: int, log: bytearray) -> int:
        """Load and return the descriptor. Raises OSError; the log is filled as far as it goes."""
        spec, debug = self.linked.program, self.debug
        license = bytearray(spec.license.encode("utf-8", "surrogateescape") + b"\0")
        attributes = bytearray(_LOAD.pack(
            self.kind, len(self.code) // _SLOT,
            syscall.address(self.code), syscall.address(license),
            log_level, len(log), syscall.address(log),
            0, spec.flags, kernel_name(spec.name), 0, _attach_type(spec), debug.fd,
            debug.func_size, syscall.address(debug.func_info),
            _count(debug.func_info, debug.func_size),
            debug.line_size, syscall.address(debug.line_info),
            _count(debug.line_info, debug.line_size),
        ))  # fmt: skip
        try:
            return syscall.bpf(syscall.PROG_LOAD, attributes)
        finally:
            self.true_size = struct.unpack_from("=I", attributes, _LOG_TRUE_SIZE)[0]

    def load(self, log_level: int) -> Program:
        """Load; where that fails, once more with a log. Raises LoadError with what it says."""
        if log_level == 0:
            try:
                return Program(self.linked.program, self.attempt(0, bytearray()))
            except OSError as failure:
                if failure.errno == errno.EPERM:
                    raise self.refusal(failure, "") from None
        size = _LOG_FIRST
        while True:
            log = bytearray(size)
            try:
                return Program(self.linked.program, self.attempt(log_level or 1, log), _text(log))
            except OSError as failure:
                if failure.errno != errno.ENOSPC:
                    raise self.refusal(failure, _text(log)) from None
            if size == _LOG_MOST:
                return self._with_a_part(_text(log))
            size = min(max(size * 8, self.true_size), _LOG_MOST)

    def _with_a_part(self, log: str) -> Program:
        """Load though the log is longer than it may be; `log` is a part of it."""
        is_end = self.true_size > 0  # older kernels keep the beginning, which accuses nobody
        try:
            return Program(self.linked.program, self.attempt(0, bytearray()), log)
        except OSError as failure:
            if is_end:
                raise self.refusal(failure, log) from None
            message = (
                f"the kernel refuses program {self.linked.name!r} "
                f"({meaning(failure.errno or 0)}) with a log longer than {_LOG_MOST} bytes"
            )
            wrong = error("load-rejected", message, self.linked.program.span)
            raise LoadError(wrong, errno=failure.errno or 0, log=log) from None

    def refusal(self, failure: OSError, log: str) -> LoadError:
        """Explain a failure by the log, or by its errno where the log does not help."""
        number = failure.errno or 0
        spec = self.linked.program
        if log.strip():
            return LoadError(diagnose(self.linked, log, meaning(number)), errno=number, log=log)
        if number == errno.EACCES:
            return LoadError(diagnose(self.linked, "", meaning(number)), errno=number)
        why = {
            errno.E2BIG: f"{len(self.code) // _SLOT} slots are more than it takes",
            errno.EINVAL: f"it does not take this program type ({spec.type}), attach type or flags",
        }.get(number, "")
        what = f"load program {spec.name!r}"
        return refused(
            "load-failed", what, number, why=why, needs=rights_for(spec.type), span=spec.span
        )


def _together(refusals: list[LoadError]) -> LoadError:
    diagnostics = [each for refusal in refusals for each in refusal.diagnostics]
    log = "\n".join(refusal.log for refusal in refusals if refusal.log)
    return LoadError(*diagnostics, errno=refusals[0].errno, log=log)


def _text(log: bytearray) -> str:
    return log.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _count(table: bytearray, record: int) -> int:
    return len(table) // record if record else 0


def _number_of(spec: ProgramSpec) -> int:
    number = PROGRAM_TYPES.id_of(spec.type) if spec.type else None
    if number is not None:
        return number
    hint = "name the section after the type, as in .section xdp"
    if spec.type:
        message = f"program {spec.name!r}: there is no program type {spec.type!r}"
    elif spec.section:
        message = f"program {spec.name!r}: section {spec.section!r} tells no program type"
    else:
        message = f"program {spec.name!r} has no section that tells its program type"
    raise LoadError(error("load-program-type", message, spec.span, hint=hint), errno=errno.EINVAL)


def _attach_type(spec: ProgramSpec) -> int:
    if not spec.attach_type:
        return 0
    number = ATTACH_TYPES.id_of(spec.attach_type)
    if number is None:
        message = f"program {spec.name!r}: there is no attach type {spec.attach_type!r}"
        raise LoadError(error("load-program-type", message, spec.span), errno=errno.EINVAL)
    return number


def _with_maps(linked: LinkedProgram, encoded: Image, maps: Mapping[str, Map]) -> bytearray:
    """Put the maps' descriptors where the program names them."""
    code = bytearray(encoded.code)
    wrong: list[Diagnostic] = []
    spans = {slot: each.span for slot, each in linked.slots()}
    for each in encoded.relocations:
        at = each.slot * _SLOT
        match each.ref:
            case MapRef(name=name) | VarRef(map=name) if name not in maps:
                message = f"map {name!r} is not there to be loaded"
                wrong.append(error("link-map", message, spans.get(each.slot)))
            case MapRef(name=name):
                struct.pack_into("=i", code, at + 4, maps[name].fd)
            case VarRef(map=name, offset=offset):
                struct.pack_into("=i", code, at + 4, maps[name].fd)
                struct.pack_into("=i", code, at + _SLOT + 4, offset)
            case KfuncRef(name=name) | KsymRef(name=name):
                raise unsupported(f"the kernel symbol {name!r}", span=spans.get(each.slot))
            case CoreRef():
                raise unsupported("a CO-RE relocation", span=spans.get(each.slot))
            case LabelRef() | FunctionRef():
                raise AssertionError("ir.link leaves none of these")
            case _:
                assert_never(each.ref)
    if wrong:
        raise LoadError(*wrong, errno=errno.EINVAL)
    return code


@contextmanager
def _loaded_debug_info(linked: LinkedProgram, order: ByteOrder) -> Iterator[_Debug]:
    """Give the kernel the program's BTF while it is loaded; none where it does not take it."""
    info: DebugInfo = debug_info(linked, byteorder=order)
    btf = bytearray(info.btf)
    try:
        attributes = bytearray(_BTF_LOAD.pack(syscall.address(btf), 0, len(btf), 0, 0, 0))
        fd = syscall.bpf(syscall.BTF_LOAD, attributes)
    except OSError:
        # Without the right to load BTF there is none to load the program, which then says so.
        yield _NO_DEBUG
        return
    try:
        yield _Debug(
            fd,
            bytearray(info.func_info),
            info.func_info_rec_size,
            bytearray(info.line_info),
            info.line_info_rec_size,
        )
    finally:
        os.close(fd)
