"""BPF_MAP_CREATE: a map's description, its BTF included, to a descriptor."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ebpfasm.emit.debug import map_types
from ebpfasm.errors import LoadError, error, unsupported
from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.objects import kernel_name
from ebpfasm.runtime.refusals import BPF, refused
from ebpfasm.runtime.values import possible_cpus

# union bpf_attr for BPF_MAP_CREATE: type, sizes, entries, flags, inner map, NUMA node, name,
# ifindex, BTF with the ids of key and value, vmlinux's id of the value, map_extra
_CREATE = struct.Struct("=IIIIIII16sIIIIIQ")
_BTF_LOAD = struct.Struct("=QQIIII")


def completed(spec: MapSpec) -> MapSpec:
    """The description with what the machine decides: a perf event array has an entry a CPU."""
    if spec.type == "perf_event_array" and spec.max_entries == 0:
        return replace(spec, max_entries=possible_cpus())
    return spec


def create_map(spec: MapSpec, inner_fd: int = 0) -> int:
    """Create a map and return its descriptor.

    Raises LoadError, at the spec's place, where the kernel refuses, and NotSupported for maps
    that would have to be pinned.
    """
    number = MAP_TYPES.id_of(spec.type) if isinstance(spec.type, str) else spec.type
    if number is None:
        message = f"map {spec.name!r}: there is no map type {spec.type!r}"
        raise LoadError(error("load-failed", message, spec.span), errno=errno.EINVAL)
    if spec.pinning:
        hint = "leave pinning= out; the map then lives as long as it is open"
        raise unsupported(f"pinning of map {spec.name!r}", span=spec.span, hint=hint)
    flags, node = spec.flags, 0
    if spec.numa_node is not None:
        flags, node = flags | CONSTANTS["BPF_F_NUMA_NODE"], spec.numa_node
    with _types(spec) as (btf, key, value):
        try:
            attributes = _CREATE.pack(
                number, spec.key_size, spec.value_size, spec.max_entries, flags, inner_fd, node,
                kernel_name(spec.name), 0, btf, key, value, 0, spec.map_extra,
            )  # fmt: skip
        except struct.error:
            message = f"map {spec.name!r}: a size, count or flag is not a number of 32 bits"
            raise LoadError(error("load-failed", message, spec.span), errno=errno.EINVAL) from None
        try:
            return syscall.bpf(syscall.MAP_CREATE, bytearray(attributes))
        except OSError as refusal:
            code = refusal.errno or 0
    raise _refusal(spec, code)


def _refusal(spec: MapSpec, code: int) -> LoadError:
    size = f"{spec.max_entries} entries of {spec.key_size} + {spec.value_size} bytes"
    settings = ["this type, flags"]
    settings += ["NUMA node"] if spec.numa_node is not None else []
    settings += ["map_extra"] if spec.map_extra else []
    why = {
        errno.EINVAL: f"the kernel does not take {', '.join(settings)} or {size}",
        errno.E2BIG: f"{size} are too much",
        errno.ENOMEM: f"{size} are too much",
    }.get(code, "")
    what = f"create map {spec.name!r}"
    return refused("load-failed", what, code, why=why, needs=BPF, span=spec.span)


@contextmanager
def _types(spec: MapSpec) -> Iterator[tuple[int, int, int]]:
    """The descriptor of a map's BTF, open for a while, and the ids in it; zeros without one."""
    types = map_types(spec, byteorder="little" if sys.byteorder == "little" else "big")
    if types is None:
        yield 0, 0, 0
        return
    data = bytearray(types.btf)
    try:
        attributes = bytearray(_BTF_LOAD.pack(syscall.address(data), 0, len(data), 0, 0, 0))
        fd = syscall.bpf(syscall.BTF_LOAD, attributes)
    except OSError:
        # Without the right to load BTF there is none to create the map, which then says so;
        # a kernel older than BTF creates the map without.
        yield 0, 0, 0
        return
    try:
        yield fd, types.key_type_id, types.value_type_id
    finally:
        os.close(fd)
