"""What the AF_XDP tests share: a cable, and packets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from ebpfasm.runtime.network.veth import VethPair
from tests.support import find_tool

FRAME = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + b"\x88\xb5" + bytes(46)  # a local experiment's


def numbered(count: int, length: int = 60) -> list[bytes]:
    """Frames that carry their number behind the Ethernet header."""
    return [FRAME[:14] + i.to_bytes(4, "big") + bytes(length - 18) for i in range(count)]


def number(frame: Any) -> int:
    """The number that a frame carries."""
    return int.from_bytes(bytes(frame[14:18]), "big")


def tcpdump(path: Path) -> list[str]:
    """A capture as tcpdump reads it: a line a packet."""
    command = [find_tool("tcpdump"), "-nn", "-t", "-e", "-r", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("\t")]


def ip(pair: VethPair, *words: str) -> None:
    """iproute2 in the near namespace."""
    with pair.near.entered():
        subprocess.run([find_tool("ip"), *words], check=True, capture_output=True)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
