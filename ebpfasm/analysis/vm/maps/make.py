"""From a MapSpec to a map of the virtual machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfasm.analysis.vm.maps.map import VmMap
from ebpfasm.analysis.vm.maps.objects import SocketsMap, StorageMap
from ebpfasm.analysis.vm.maps.others import (
    BloomMap,
    EventsMap,
    OuterMap,
    ProgramsMap,
    QueueMap,
    RingMap,
    TrieMap,
)
from ebpfasm.analysis.vm.maps.streams import ArenaMap, StackTraceMap, UserRingMap
from ebpfasm.analysis.vm.maps.tables import (
    ArrayMap,
    HashMap,
    LocalStorageMap,
    LruMap,
    RecorderMap,
)
from ebpfasm.errors import VmError, error
from ebpfasm.ir.codecs import type_name
from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.kinds import MAP_TYPES

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World

_KINDS: dict[str, type[VmMap]] = {
    **dict.fromkeys(("array", "percpu_array"), ArrayMap),
    **dict.fromkeys(("hash", "percpu_hash"), HashMap),
    **dict.fromkeys(("lru_hash", "lru_percpu_hash"), LruMap),
    "lpm_trie": TrieMap,
    **dict.fromkeys(("queue", "stack"), QueueMap),
    "bloom_filter": BloomMap,
    **dict.fromkeys(("array_of_maps", "hash_of_maps"), OuterMap),
    "prog_array": ProgramsMap,
    "ringbuf": RingMap,
    "perf_event_array": EventsMap,
    **dict.fromkeys(
        (
            "devmap",
            "devmap_hash",
            "cpumap",
            "xskmap",
            "cgroup_array",
        ),
        RecorderMap,
    ),
    **dict.fromkeys(("sockmap", "sockhash", "reuseport_sockarray"), SocketsMap),
    **dict.fromkeys(("sk_storage", "task_storage", "inode_storage", "cgrp_storage"), StorageMap),
    "stack_trace": StackTraceMap,
    "user_ringbuf": UserRingMap,
    "arena": ArenaMap,
    **dict.fromkeys(("cgroup_storage", "percpu_cgroup_storage"), LocalStorageMap),
}

_KEY_MOST, _VALUE_MOST = 512, 1 << 25  # bytes
_TRIE_KEY = (5, 260)


def make(spec: MapSpec, world: World) -> VmMap:
    """Make an empty map.

    Raises VmError where the type has no meaning without a kernel or its sizes are not the type's.
    """
    kind = type_name(spec)
    made = _KINDS.get(kind)
    if made is None:
        message = f"map {spec.name!r}: the virtual machine has no maps of type {kind}"
        raise VmError(error("vm-map", message, spec.span))
    row = MAP_TYPES.find(kind)
    for what, size, sizes in (
        ("key", spec.key_size, row.key_sizes if row else ()),
        ("value", spec.value_size, row.value_sizes if row else ()),
    ):
        if size < 0 or (size not in sizes if sizes else size == 0):
            wanted = " or ".join(map(str, sizes)) or "1 or more"
            message = f"map {spec.name!r}: a {what} of {kind} has {wanted} bytes, not {size}"
            raise VmError(error("vm-map", message, spec.span))
    _check(spec, kind)
    return made(spec, world)


def _check(spec: MapSpec, kind: str) -> None:
    """Refuse numbers that the kernel refuses too."""
    row = MAP_TYPES.find(kind)
    least = 0 if row is not None and row.no_entries else 1
    if not least <= spec.max_entries < 1 << 32:
        message = f"map {spec.name!r}: max_entries is {spec.max_entries}"
        raise VmError(error("vm-map", message, spec.span))
    if spec.key_size > _KEY_MOST or spec.value_size > _VALUE_MOST:
        message = f"map {spec.name!r}: keys have at most {_KEY_MOST} bytes, values {_VALUE_MOST}"
        raise VmError(error("vm-map", message, spec.span))
    if kind == "lpm_trie" and not _TRIE_KEY[0] <= spec.key_size <= _TRIE_KEY[1]:
        message = f"map {spec.name!r}: a key of lpm_trie has 5 to 260 bytes, not {spec.key_size}"
        raise VmError(error("vm-map", message, spec.span))
