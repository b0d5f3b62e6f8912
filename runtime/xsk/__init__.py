"""AF_XDP: frames of a network interface straight into Python, past the kernel's network stack.

    with XskSocket.open("eth0", queue=0) as xsk:
        for frame in xsk:
            print(len(frame), bytes(frame.data[:14]).hex())

docs/xsk.md tells how; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfasm.runtime.xsk.batch import Batch
    from ebpfasm.runtime.xsk.frames import Frame
    from ebpfasm.runtime.xsk.multi import XskMultiSocket
    from ebpfasm.runtime.xsk.options import BusyPoll, Counters, Statistics
    from ebpfasm.runtime.xsk.queues import Channels, channels
    from ebpfasm.runtime.xsk.redirect import Redirect, redirect_program
    from ebpfasm.runtime.xsk.socket import XskSocket
    from ebpfasm.runtime.xsk.umem import Census, Umem

_HOME = {
    "Batch": "batch",
    "BusyPoll": "options",
    "Census": "umem",
    "Channels": "queues",
    "Counters": "options",
    "Frame": "frames",
    "Redirect": "redirect",
    "Statistics": "options",
    "Umem": "umem",
    "XskMultiSocket": "multi",
    "XskSocket": "socket",
    "channels": "queues",
    "redirect_program": "redirect",
}

__all__ = [
    "Batch",
    "BusyPoll",
    "Census",
    "Channels",
    "Counters",
    "Frame",
    "Redirect",
    "Statistics",
    "Umem",
    "XskMultiSocket",
    "XskSocket",
    "channels",
    "redirect_program",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebpfasm.runtime.xsk' has no attribute {name!r}")
    value: object = getattr(import_module(f"ebpfasm.runtime.xsk.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
