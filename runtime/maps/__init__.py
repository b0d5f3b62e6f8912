"""Live maps: `Map` and the classes of maps whose types are more than keys and values."""

from ebpfasm.ir.mapping import ALL_CPUS, ANY, CPU, EXIST, LOCK, NOEXIST
from ebpfasm.runtime.info.map import MapInfo
from ebpfasm.runtime.maps.batches import Batch, BatchError
from ebpfasm.runtime.maps.columns import Arrays
from ebpfasm.runtime.maps.holders import (
    CgroupArray,
    HoldingMap,
    MapOfMaps,
    ProgramArray,
    SocketMap,
    StorageMap,
    Target,
    TargetMap,
)
from ebpfasm.runtime.maps.kinds import BuildId, FilterMap, QueueMap, StackTraceMap
from ebpfasm.runtime.maps.map import Map

__all__ = [
    "ALL_CPUS",
    "ANY",
    "CPU",
    "EXIST",
    "LOCK",
    "NOEXIST",
    "Arrays",
    "Batch",
    "BatchError",
    "BuildId",
    "CgroupArray",
    "FilterMap",
    "HoldingMap",
    "Map",
    "MapInfo",
    "MapOfMaps",
    "ProgramArray",
    "QueueMap",
    "SocketMap",
    "StackTraceMap",
    "StorageMap",
    "Target",
    "TargetMap",
]
