"""The maps of a collection: reused, opened by their pins, or made; then filled."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack

from ebpfasm.errors import LoadError, error
from ebpfasm.ir.references import FunctionRef, MapRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.runtime import bpffs
from ebpfasm.runtime.arena import Arena
from ebpfasm.runtime.existing import pinned_map
from ebpfasm.runtime.loading.create import Making, completed, create_map
from ebpfasm.runtime.loading.struct_ops import Table
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.pins import check_shape
from ebpfasm.runtime.programs import Program


class MapMaker:
    """Makes maps one after the other; `opened` closes, and unpins, them where the load fails."""

    def __init__(
        self,
        opened: ExitStack,
        making: Making,
        *,
        pin_path: str | os.PathLike[str] | None,
        replace_maps: Mapping[str, Map],
        tables: Mapping[str, Table],
    ) -> None:
        self._opened, self._making = opened, making
        self._pin_path = os.fspath(pin_path or bpffs.DEFAULT)
        self._replace, self._tables = replace_maps, tables
        self._fresh: set[str] = set()
        self.arenas: dict[str, Arena] = {}

    def make(self, spec: MapSpec) -> Map:
        """One map, live. Raises LoadError."""
        spec = completed(spec)
        if spec.name in self._replace:
            return self._given(spec, self._replace[spec.name])
        if not spec.pinning:
            return self._new(spec)
        if spec.pinning != "by_name":
            message = f"map {spec.name!r}: there is no pinning {spec.pinning!r}, only by_name"
            raise LoadError(error("load-failed", message, spec.span), errno=errno.EINVAL)
        return self._pinned(spec)

    def _given(self, spec: MapSpec, other: Map) -> Map:
        check_shape(other.fd, spec, f"the given map {other.name!r}")
        return self._opened.enter_context(Map(spec, os.dup(other.fd)))

    def _new(self, spec: MapSpec) -> Map:
        table = self._tables.get(spec.name)
        if table is not None:
            fd = create_map(table.spec, making=self._making, value_type=table.value_type)
            made = Map(table.spec, fd)
        else:
            made = Map.create(spec, self._making)
        self._fresh.add(spec.name)
        self._opened.enter_context(made)
        if made.type == "arena":
            self.arenas[spec.name] = arena = self._opened.enter_context(Arena(made))
            arena.write(0, bytes(spec.contents))
        return made

    def _pinned(self, spec: MapSpec) -> Map:
        """The map that is pinned under the name, or a new one that is pinned there then."""
        path = os.path.join(self._pin_path, spec.name)
        there = _open_if_there(path, spec)
        if there is not None:
            return self._opened.enter_context(there)
        made = self._new(spec)
        try:
            made.pin(path)
        except LoadError as refusal:
            there = _open_if_there(path, spec) if refusal.errno == errno.EEXIST else None
            if there is None:
                raise
            # Somebody else was quicker with the same map: theirs is the one to use.
            made.close()
            self._fresh.discard(spec.name)
            return self._opened.enter_context(there)
        self._opened.callback(made.unpin)
        return made

    def fill(self, maps: Mapping[str, Map], programs: Mapping[str, Program] | None = None) -> None:
        """Put maps into maps of maps; with `programs`, programs into prog_arrays. Raises LoadError.

        Maps that were there before keep what they hold.
        """
        for name in self._fresh:
            live = maps[name]
            for index, ref in live.spec.initial.items():
                match ref:
                    case MapRef(name=other) if programs is None:
                        _put(live, index, maps.get(other), f"map {other!r}")
                    case FunctionRef(name=other) if programs is not None:
                        if live.type != "struct_ops" and other in programs:
                            _put(live, index, programs[other], f"program {other!r}")
                    case _:
                        pass


def _open_if_there(path: str, spec: MapSpec) -> Map | None:
    try:
        return pinned_map(path, spec)
    except LoadError as refusal:
        if refusal.errno == errno.ENOENT:
            return None
        raise


def _put(live: Map, index: int, value: Map | Program | None, what: str) -> None:
    if value is None:
        message = f"map {live.name!r} is to hold {what}, which is not there"
        raise LoadError(error("link-map", message, live.spec.span), errno=errno.EINVAL)
    live[index] = value
