"""BPF_MAP_CREATE: a map's description, its BTF included, to a descriptor."""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ebpfasm.emit.debug import map_types
from ebpfasm.errors import LoadError, error, unsupported
from ebpfasm.frozen import dataclass
from ebpfasm.ir.specs import NAME_BYTES, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.loading.btf_load import load_btf
from ebpfasm.runtime.loading.device import NO_DEVICE, Device
from ebpfasm.runtime.loading.object_btf import ObjectBtf
from ebpfasm.runtime.loading.targets import NOWHERE, Target
from ebpfasm.runtime.objects import kernel_name
from ebpfasm.runtime.refusals import BPF, ENOTSUPP, refused
from ebpfasm.runtime.release import is_older_than

# union bpf_attr for BPF_MAP_CREATE: type, sizes, entries, flags, inner map, NUMA node, name,
# ifindex, BTF with the ids of key and value, the kernel's id of the value, map_extra, the BTF of
# that id, token
_CREATE = struct.Struct("=IIIIIII16sIIIIIQiI")

# Types whose creation takes no BTF, which an object may describe all the same: those without a
# map_check_btf in the kernel; libbpf leaves it out for them too.
_UNTYPED = frozenset({
    "perf_event_array", "cgroup_array", "stack_trace", "array_of_maps", "hash_of_maps", "devmap",
    "devmap_hash", "cpumap", "xskmap", "sockmap", "sockhash", "queue", "stack", "arena",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Making:
    """What a load knows of the maps that it makes.

    `object` is the object's BTF, `name` the object's, with which the kernel's names of its data
    sections begin; `token` is a BPF token's descriptor, 0 for none; `device` may hold maps.
    """

    object: ObjectBtf | None = None
    name: str = ""
    token: int = 0
    device: Device = NO_DEVICE


ALONE = Making()


def completed(spec: MapSpec) -> MapSpec:
    """The description with what the machine decides.

    A perf event array has an entry a CPU; a ring buffer's size is a power of two of pages.
    """
    if spec.type == "perf_event_array" and spec.max_entries == 0:
        return replace(spec, max_entries=possible_cpus())
    if spec.type in ("ringbuf", "user_ringbuf"):
        return replace(spec, max_entries=_ring_size(spec.max_entries))
    return spec


def _ring_size(size: int) -> int:
    """The size itself where the kernel takes it, or none; else the next one that it takes."""
    if not 0 < size <= 1 << 31:
        return size
    pages = -(-size // mmap.PAGESIZE)
    return mmap.PAGESIZE << (pages - 1).bit_length()


def map_name(spec: MapSpec, object_name: str) -> bytes:
    """What the kernel calls a map, 15 bytes at most.

    A section of variables has the object's name in front, as libbpf cuts it: seven bytes are
    the section's even where it needs fewer, and sections such as .data.x stand alone.

    >>> map_name(MapSpec(".bss", "array", 4, 8, 1), "xdp_statistics")
    b'xdp_stat.bss'
    """
    name = spec.name
    if not name.startswith("."):
        return kernel_name(name)
    if "." in name[1:]:
        return kernel_name(name)
    room = max(NAME_BYTES - max(7, len(name)), 0)
    return kernel_name(object_name[:room] + name)


def create_map(
    spec: MapSpec, inner_fd: int = 0, *, making: Making = ALONE, value_type: Target = NOWHERE
) -> int:
    """Create a map and return its descriptor.

    `value_type` is the kernel's own type of a struct_ops map's value. Raises LoadError, at the
    spec's place, where the kernel refuses, NotSupported where the type is newer than the kernel.
    """
    number = MAP_TYPES.id_of(spec.type) if isinstance(spec.type, str) else spec.type
    if number is None:
        from ebpfasm.asm.spelling import did_you_mean

        hint = did_you_mean(str(spec.type), MAP_TYPES.by_name)
        message = f"map {spec.name!r}: there is no map type {spec.type!r}"
        raise LoadError(error("load-failed", message, spec.span, hint=hint), errno=errno.EINVAL)
    flags, node = spec.flags, 0
    if spec.numa_node is not None:
        flags, node = flags | CONSTANTS["BPF_F_NUMA_NODE"], spec.numa_node
    flags |= CONSTANTS["BPF_F_TOKEN_FD"] if making.token else 0
    flags |= CONSTANTS["BPF_F_VTYPE_BTF_OBJ_FD"] if value_type.fd else 0
    name, ifindex = map_name(spec, making.name), making.device.of_map(spec)

    def create(types: tuple[int, int, int], name: bytes) -> int:
        return syscall.bpf(syscall.MAP_CREATE, bytearray(_CREATE.pack(
            number, spec.key_size, spec.value_size, spec.max_entries, flags, inner_fd, node,
            name, ifindex, *types, value_type.btf_id, spec.map_extra, value_type.fd, making.token,
        )))  # fmt: skip

    with _types(spec, making) as types:
        try:
            return _again_with_types(spec, lambda: _tried(create, types, name))
        except struct.error:
            message = f"map {spec.name!r}: a size, count or flag is not a number of 32 bits"
            raise LoadError(error("load-failed", message, spec.span), errno=errno.EINVAL) from None
        except OSError as refusal:
            code = refusal.errno or 0
    row = MAP_TYPES.by_id.get(number)
    if code == errno.EINVAL and row is not None and is_older_than(row.since):
        raise unsupported(f"map type {row.name}", row.since, span=spec.span)
    raise _refusal(spec, code)


def _again_with_types(spec: MapSpec, create: Callable[[], int]) -> int:
    """Create a map, where Linux 5.10 has not read its own types yet after it has. Raises OSError.

    It reads them for the first program that is loaded, and knows no struct_ops before.
    """
    try:
        return create()
    except OSError as refusal:
        if refusal.errno != ENOTSUPP or spec.type != "struct_ops":
            raise
    from ebpfasm.runtime.features import attempt

    attempt.load(attempt.return_number(), "socket_filter")
    return create()


_NO_TYPES = 0, 0, 0


def _tried(
    create: Callable[[tuple[int, int, int], bytes], int], types: tuple[int, int, int], name: bytes
) -> int:
    """Create with types, or without them, or without a name (Linux 4.15). Raises OSError."""
    attempts = [(types, name), (_NO_TYPES, name), (_NO_TYPES, b"")]
    if types == _NO_TYPES:
        del attempts[0]
    first: OSError | None = None
    for attempt in attempts:
        try:
            return create(*attempt)
        except OSError as refusal:
            first = first or refusal
            if refusal.errno not in _MAY_BE_UNKNOWN:
                break
    assert first is not None
    raise first


_MAY_BE_UNKNOWN = frozenset({errno.EINVAL, errno.E2BIG, ENOTSUPP, errno.EOPNOTSUPP})


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
    hint = _mend(spec) if code == errno.EINVAL else None
    return refused("load-failed", what, code, why=why, needs=BPF, span=spec.span, hint=hint)


def _mend(spec: MapSpec) -> str | None:
    """What the table of map types has against a description, None where it knows nothing."""
    row = (
        MAP_TYPES.find(spec.type) if isinstance(spec.type, str) else MAP_TYPES.by_id.get(spec.type)
    )
    if row is None:
        return None
    for part, size, sizes in (
        ("key_size", spec.key_size, row.key_sizes),
        ("value_size", spec.value_size, row.value_sizes),
    ):
        if sizes and size not in sizes:
            return f"{part} of type {row.name} is {' or '.join(map(str, sizes))}"
        if not sizes and not size:
            return f"{part} of type {row.name} cannot be 0"
    if row.no_entries and spec.max_entries:
        return f"type {row.name} has no max_entries"
    if not row.no_entries and not spec.max_entries:
        return f"type {row.name} needs max_entries of 1 or more"
    if row.needs_flag and not spec.flags & CONSTANTS[row.needs_flag]:
        return f"type {row.name} needs the flag {row.needs_flag}"
    return None


@contextmanager
def _types(spec: MapSpec, making: Making) -> Iterator[tuple[int, int, int]]:
    """The descriptor of a map's BTF, open for a while, and the ids in it; zeros without one."""
    object = making.object
    if object is not None and spec.types is not None and object.has(spec.types.btf):
        if spec.type == "struct_ops":
            yield object.fd, 0, 0  # the ids are the kernel's, and it wants to see our BTF
        elif spec.type in _UNTYPED or not object.fd:
            yield _NO_TYPES
        else:
            yield object.fd, spec.types.key, spec.types.value
        return
    types = map_types(spec, byteorder="little" if sys.byteorder == "little" else "big")
    fd = load_btf(types.btf, making.token) if types is not None else 0
    if types is None or not fd:
        yield _NO_TYPES
        return
    try:
        yield fd, types.key_type_id, types.value_type_id
    finally:
        os.close(fd)
