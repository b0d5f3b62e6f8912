"""The kernel's helper functions as Python functions over a machine."""

from ebpfasm.analysis.vm.helpers import (
    checksums,
    control,
    environment,
    maps,
    packets,
    rings,
    skb,
    strings,
    text,
)
from ebpfasm.analysis.vm.helpers.registry import HELPERS, call_helper

__all__ = [
    "HELPERS",
    "call_helper",
    "checksums",
    "control",
    "environment",
    "maps",
    "packets",
    "rings",
    "skb",
    "strings",
    "text",
]
