"""From a CollectionSpec to live maps and programs: all of them, or none."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import Btf
from ebpfasm.emit.code import image
from ebpfasm.errors import LoadError, error
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.link import link
from ebpfasm.ir.specs import CollectionSpec, MapSpec, ProgramSpec, data_section
from ebpfasm.ir.tables import is_table
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime import syscall
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.loading import externs
from ebpfasm.runtime.loading.create import Making
from ebpfasm.runtime.loading.device import NO_DEVICE, Device
from ebpfasm.runtime.loading.fill import Filling
from ebpfasm.runtime.loading.jump_tables import jump_tables
from ebpfasm.runtime.loading.kconfig import Value
from ebpfasm.runtime.loading.kconfig import values as kconfig_values
from ebpfasm.runtime.loading.kernel_symbols import KernelTypes
from ebpfasm.runtime.loading.maps import MapMaker
from ebpfasm.runtime.loading.object_btf import KCONFIG, ObjectBtf
from ebpfasm.runtime.loading.prog_load import ProgramLoad, attach_type_number, type_number
from ebpfasm.runtime.loading.relocate import CoreRelocations, poisons_of
from ebpfasm.runtime.loading.struct_ops import Table, laid_out
from ebpfasm.runtime.loading.targets import Target
from ebpfasm.runtime.loading.targets import resolve as resolve_target
from ebpfasm.runtime.loading.tokens import token_of
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.programs import Program

_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"
_BIND = struct.Struct("=III")  # program, map, flags


def load(
    spec: CollectionSpec,
    *,
    programs: Iterable[str] | None = None,
    maps: Mapping[str, Map] | None = None,
    pin_path: str | os.PathLike[str] | None = None,
    targets: Mapping[str, Program] | None = None,
    kconfig: Mapping[str, Value] | None = None,
    btf: Btf | bytes | str | os.PathLike[str] | None = None,
    log_level: int = 0,
    token: int | str | os.PathLike[str] | None = None,
    device: Device = NO_DEVICE,
) -> Collection:
    """Create a collection's maps and load its programs, in their order.

    `ebpfasm.load` says what the options mean. On failure nothing stays open, and no new pin;
    LoadError has a diagnostic for every program that was refused, at the place of the
    instruction. Raises LinkError and EncodeError too, BtfError for `btf`, and NotSupported where
    the kernel lacks its types.
    """
    _check_order(spec)
    with (
        ExitStack() as opened,
        KernelTypes() as kernel,
        token_of(token) as token_fd,
        ObjectBtf(spec.debug, spec.kconfig, token_fd) as object,
    ):
        chosen = _chosen(spec, programs)
        specs = _map_specs(spec, kconfig or {})
        _check_names("map", "replaced", maps or {}, specs)
        _check_names("program", "bound", targets or {}, spec.programs)
        tables = {
            name: laid_out(each, kernel)
            for name, each in specs.items()
            if each.type == "struct_ops" and each.autocreate
        }
        found = externs.resolve(
            chosen.values(), None if spec.debug is None else spec.debug.btf, kernel
        )
        making = Making(object, spec.name, token_fd, device)
        maker = MapMaker(opened, making, pin_path=pin_path, replace_maps=maps or {}, tables=tables)
        live = {
            name: maker.make(each)
            for name, each in specs.items()
            if (each.autocreate and not is_table(each)) or name in (maps or {})
        }
        maker.fill(live)
        target = None if btf is None else BtfIndex.of(btf)
        loading = _Loading(
            CoreRelocations(spec.debug, target),
            Filling(live, found, _ORDER, specs.keys() - live.keys()),
            object, kernel, found.fd_array, _Bindings(tables, targets or {}), log_level, token_fd,
            device,
        )  # fmt: skip
        loaded = loading.load(chosen, opened)
        _bind(loaded, [live[name] for name in live if data_section(name) == ".rodata"])
        maker.fill(live, loaded)
        _put_tables(tables, live, loaded)
        opened.pop_all()
        return Collection(loaded, live, spec.variables, tables, maker.arenas)


def _check_names(what: str, done: str, given: Iterable[str], there: Mapping[str, object]) -> None:
    """See that every name that was given is one of the collection's. Raises LoadError."""
    for name in given:
        if name not in there:
            from ebpfasm.asm.spelling import did_you_mean

            hint = did_you_mean(name, there) or f"there are {', '.join(there) or 'none'}"
            message = f"there is no {what} {name!r} to be {done}"
            raise LoadError(error("load-failed", message, hint=hint), errno=errno.EINVAL)


def load_program(spec: ProgramSpec, maps: Mapping[str, Map], *, log_level: int = 0) -> Program:
    """Load one program over maps that are open already. Raises what `load` raises."""
    debug = spec.debug.object if spec.debug is not None else None
    with KernelTypes() as kernel, ObjectBtf(debug) as object:
        found = externs.resolve([spec], None if debug is None else debug.btf, kernel)
        return _Loading(
            CoreRelocations(debug, None), Filling(maps, found, _ORDER), object, kernel,
            found.fd_array, _Bindings({}, {}), log_level, 0,
        ).program(spec)  # fmt: skip


class _Bindings:
    """What programs are bound to that only the caller or a struct_ops map knows."""

    def __init__(self, tables: Mapping[str, Table], targets: Mapping[str, Program]) -> None:
        self._targets = targets
        self._members: dict[str, tuple[Target, int]] = {}
        for table in tables.values():
            for each in table.members:
                place = table.struct, each.index
                if self._members.setdefault(each.program, place) != place:
                    message = f"program {each.program!r} stands for two members of tables"
                    raise LoadError(error("load-target", message, table.spec.span))

    def find(self, spec: ProgramSpec, kernel: KernelTypes) -> tuple[Target, int]:
        """A program's target and the number of its attach type. Raises LoadError."""
        if spec.type == "struct_ops":
            if spec.name not in self._members:
                message = f"program {spec.name!r} stands in no struct_ops map that is created"
                raise LoadError(error("load-target", message, spec.span), errno=errno.EINVAL)
            return self._members[spec.name]
        other = self._targets.get(spec.name)
        found = resolve_target(spec, kernel, 0 if other is None else other.fd)
        return found, attach_type_number(spec)


class _Loading:
    """Programs of one collection on their way into the kernel."""

    def __init__(
        self,
        core: CoreRelocations,
        filling: Filling,
        object: ObjectBtf,
        kernel: KernelTypes,
        fd_array: bytearray,
        bindings: _Bindings,
        log_level: int,
        token: int,
        device: Device = NO_DEVICE,
    ) -> None:
        self._core, self._filling = core, filling
        self._object, self._kernel = object, kernel
        self._fd_array, self._bindings = fd_array, bindings
        self._log_level, self._token, self._device = log_level, token, device

    def load(self, specs: Mapping[str, ProgramSpec], opened: ExitStack) -> dict[str, Program]:
        """Load all, or raise a LoadError that tells of every one that was refused."""
        loaded: dict[str, Program] = {}
        refusals: list[LoadError] = []
        for name, each in specs.items():
            try:
                loaded[name] = opened.enter_context(self.program(each))
            except LoadError as refusal:
                refusals.append(refusal)
                if refusal.errno in (errno.EPERM, errno.ENOMEM):
                    break  # the next one fares no better
        if refusals:
            raise _together(refusals)
        return loaded

    def program(self, spec: ProgramSpec) -> Program:
        """Load one."""
        kind = type_number(spec)
        target, attach_type = self._bindings.find(spec, self._kernel)
        relocated, missing = self._core.apply(spec)
        linked = link(relocated)
        with (
            jump_tables(linked, self._filling.maps, self._token) as tables,
            self._object.of(linked) as debug,
        ):
            filled = self._filling.fill(linked, image(linked, byteorder=_ORDER), tables)
            poisons = {**filled.poisons, **poisons_of(linked, missing)}
            return ProgramLoad(
                linked, kind, filled.code, attach_type, debug, target, self._fd_array,
                poisons, self._token, device=self._device,
            ).load(self._log_level)  # fmt: skip


def _check_order(spec: CollectionSpec) -> None:
    if spec.byteorder not in (None, _ORDER):
        message = (
            f"the object is for a {spec.byteorder}-endian machine; this one is {_ORDER}-endian"
        )
        raise LoadError(error("load-failed", message), errno=errno.EINVAL)


def _chosen(spec: CollectionSpec, wanted: Iterable[str] | None) -> dict[str, ProgramSpec]:
    """The programs to load: those that are asked for, or all that are not optional."""
    if wanted is None:
        return {name: each for name, each in spec.programs.items() if each.autoload}
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    _check_names("program", "loaded", names, spec.programs)
    return {name: spec.programs[name] for name in spec.programs if name in names}


def _map_specs(spec: CollectionSpec, given: Mapping[str, Value]) -> dict[str, MapSpec]:
    """The maps, the kernel's configuration filled in."""
    specs = dict(spec.maps)
    if spec.kconfig and KCONFIG in specs:
        map = specs[KCONFIG]
        written = map.contents.written if isinstance(map.contents, Contents) else set()
        wanted = [each for each in spec.kconfig.values() if each.offset not in written]
        value = bytearray(bytes(map.contents).ljust(map.value_size, b"\0"))
        for offset, content in kconfig_values(wanted, given, _ORDER).items():
            value[offset : offset + len(content)] = content
        specs[KCONFIG] = replace(map, contents=bytes(value))
    return specs


def _put_tables(
    tables: Mapping[str, Table], maps: Mapping[str, Map], programs: Mapping[str, Program]
) -> None:
    """Give tables that are registered by a link their value; that alone puts none in use."""
    fds = {name: each.fd for name, each in programs.items()} if tables else {}
    for name, table in tables.items():
        if maps[name].spec.flags & CONSTANTS["BPF_F_LINK"]:
            maps[name].update_bytes(bytes(4), table.filled(fds))


def _bind(programs: Mapping[str, Program], constants: list[Map]) -> None:
    """Let programs hold the object's constants, so that tools find them (Linux 5.10)."""
    for program in programs.values():
        for each in constants:
            try:
                attributes = bytearray(_BIND.pack(program.fd, each.fd, 0))
                syscall.bpf(syscall.PROG_BIND_MAP, attributes)
            except OSError:
                return  # nothing depends on it


def _together(refusals: list[LoadError]) -> LoadError:
    diagnostics = [each for refusal in refusals for each in refusal.diagnostics]
    log = "\n".join(refusal.log for refusal in refusals if refusal.log)
    return LoadError(*diagnostics, errno=refusals[0].errno, log=log)
