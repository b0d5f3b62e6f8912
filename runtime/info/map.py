"""What the kernel says of a map, and of maps that were there before."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime.objects import object_info, text_of

# struct bpf_map_info up to map_extra (linux/bpf.h)
_INFO = struct.Struct("=6I16s2I2Q4IQ")


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says of a map (BPF_OBJ_GET_INFO_BY_FD). Sizes in bytes.

    `btf_id` is 0 for a map without types, else the BTF that `key_type_id` and `value_type_id`
    belong to.
    """

    id: int
    type: str
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int = 0
    ifindex: int = 0
    btf_id: int = 0
    key_type_id: int = 0
    value_type_id: int = 0
    vmlinux_value_type_id: int = 0


def read_map_info(fd: int) -> MapInfo:
    """Ask the kernel about an open map. Raises OSError."""
    raw = bytearray(_INFO.size)
    object_info(fd, raw)
    kind, number, key, value, entries, flags, name, *more = _INFO.unpack(raw)
    ifindex, vmlinux_value, _, _, btf, key_type, value_type, _, extra = more
    return MapInfo(
        number, MAP_TYPES.name_of(kind), text_of(name), key, value, entries, flags, extra,
        ifindex, btf, key_type, value_type, vmlinux_value,
    )  # fmt: skip


def is_frozen(fd: int) -> bool:
    """Whether user space may not write the map any more (BPF_MAP_FREEZE)."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            return any(line.split() == ["frozen:", "1"] for line in file)
    except OSError:
        return False
