"""The tables of libbpf's usdt.bpf.h: for each place of a probe, where its arguments are.

A program that includes usdt.bpf.h has a map __bpf_usdt_specs, whose element number is the cookie
of the place. It is found among the program's maps by its name, as far as the kernel keeps it.
"""

from __future__ import annotations

import os
import platform
import re
import struct
import sys
from typing import TYPE_CHECKING

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError
from ebpfasm.runtime import syscall
from ebpfasm.runtime.attach.failures import impossible
from ebpfasm.runtime.info.ids import open_by_id
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.info.program import read_program_info
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.elf.binaries import Probe
    from ebpfasm.runtime.attach.methods import Attachable

_SPECS = "__bpf_usdt_spec"  # 15 characters of __bpf_usdt_specs
_ARGUMENTS = 12  # BPF_USDT_MAX_ARG_CNT
_TAIL = 16  # usdt_cookie, arg_cnt and padding
_CONSTANT, _REGISTER, _MEMORY, _INDEXED = range(4)  # enum __bpf_usdt_arg_type

# Offsets in struct pt_regs, in bytes.
_X86 = {
    "r15": 0, "r14": 8, "r13": 16, "r12": 24, "bp": 32, "bx": 40, "r11": 48, "r10": 56, "r9": 64,
    "r8": 72, "ax": 80, "cx": 88, "dx": 96, "si": 104, "di": 112, "ip": 128, "sp": 152,
}  # fmt: skip
_ARM64 = {f"x{number}": 8 * number for number in range(31)} | {"sp": 248}

_NUMBER = r"[-+]?(?:0x[0-9a-fA-F]+|\d+)"
_X86_MEMORY = re.compile(
    rf"(?P<off>{_NUMBER})?\((?:%(?P<base>\w+))?(?:,%(?P<index>\w+)(?:,(?P<scale>[1248]))?)?\)"
)
_ARM64_MEMORY = re.compile(rf"\[(?P<base>\w+)(?:,\s*(?P<off>{_NUMBER}))?\]")


class UsdtTables(Closing):
    """The tables of one program; nothing happens for a program without them.

    Raises LoadError for arguments that cannot be described to the program.
    """

    def __init__(self, program: Attachable) -> None:
        self._program = program
        self._fd = -1
        self._info: MapInfo | None = None
        self._known: dict[tuple[str, int], int] = {}
        for number in read_program_info(program.fd).map_ids:
            fd = open_by_id(syscall.MAP_GET_FD_BY_ID, number, f"map {number}")
            info = read_map_info(fd)
            if info.name == _SPECS:
                self._fd, self._info = fd, info
                return
            os.close(fd)

    def add(self, probe: Probe, cookie: int) -> int:
        """Describe a place; the cookie to attach with: the place's number, or the user's own."""
        if self._info is None:
            return cookie
        found = self._known.get((probe.arguments, cookie))
        if found is not None:
            return found
        number = self._free(self._info)
        self._store(number, self._spec(probe, cookie, self._info.value_size))
        self._known[probe.arguments, cookie] = number
        return number

    def close(self) -> None:
        """Give the map's descriptor back; what is in it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _free(self, info: MapInfo) -> int:
        """The first element that holds no description yet; 0 is kept for none."""
        for number in range(1, info.max_entries):
            if not any(self._element(number, info.value_size)):
                return number
        raise impossible(self._program, f"its map of USDT probes is full ({info.max_entries})")

    def _element(self, number: int, size: int) -> bytes:
        key, value = bytearray(struct.pack("=I", number)), bytearray(size)
        self._call(syscall.MAP_LOOKUP_ELEM, key, value)
        return bytes(value)

    def _store(self, number: int, content: bytes) -> None:
        self._call(
            syscall.MAP_UPDATE_ELEM, bytearray(struct.pack("=I", number)), bytearray(content)
        )

    def _call(self, command: int, key: bytearray, value: bytearray) -> None:
        places = (syscall.address(key), syscall.address(value))
        try:
            syscall.bpf(command, bytearray(struct.pack("=I4xQQQ", self._fd, *places, 0)))
        except OSError as refusal:
            what = "describe a USDT probe's arguments"
            raise refused("attach-failed", what, refusal.errno or 0) from None

    def _spec(self, probe: Probe, cookie: int, size: int) -> bytes:
        room = (size - _TAIL) // _ARGUMENTS
        texts = _split(probe.arguments)
        if len(texts) > _ARGUMENTS:
            raise self._cannot(probe, f"has {len(texts)} arguments, more than {_ARGUMENTS}")
        found = [self._argument(probe, each, room) for each in texts]
        # One that has no arguments must not look like a free element.
        head = b"".join(found).ljust(room * _ARGUMENTS, b"\0")
        if not found:
            head = b"\1" + head[1:]
        return (head + struct.pack("=Qh6x", cookie, len(found))).ljust(size, b"\0")

    def _argument(self, probe: Probe, text: str, room: int) -> bytes:
        width, mark, place = text.partition("@")
        try:
            size = int(width)
        except ValueError:
            size, mark = 0, ""
        if not mark or abs(size) not in (1, 2, 4, 8):
            raise self._cannot(probe, f"has an argument that is written {text!r}")
        kind, value, register, index, shift = self._place(probe, place)
        if index and room < 24:
            raise self._cannot(
                probe, f"has an argument {text!r} that takes libbpf 1.7's usdt.bpf.h"
            )
        tail = struct.pack("=hBB", register, size < 0, 64 - 8 * abs(size))
        if room < 24:
            return struct.pack("=QI", value & _MASK, kind) + tail
        packed = index | shift << 12 if sys.byteorder == "little" else index << 4 | shift
        return (struct.pack("=QBxHBx", value & _MASK, kind, packed, 0) + tail).ljust(room, b"\0")

    def _place(self, probe: Probe, text: str) -> tuple[int, int, int, int, int]:
        """Kind, constant or offset, register's offset, index register's offset, its shift."""
        arm = platform.machine() == "aarch64"
        if not arm and platform.machine() != "x86_64":
            raise self._cannot(probe, f"has arguments as {platform.machine()} has them")
        try:
            if re.fullmatch(_NUMBER, text.lstrip("$")):
                return _CONSTANT, int(text.lstrip("$"), 0), 0, 0, 0
            pattern = _ARM64_MEMORY if arm else _X86_MEMORY
            match = pattern.fullmatch(text)
            if match is None:
                return _REGISTER, 0, _register(text, arm), 0, 0
            fields = match.groupdict()
            offset = int(fields["off"] or "0", 0)
            base = _register(fields["base"], arm)
            if not fields.get("index"):
                return _MEMORY, offset, base, 0, 0
            scale = int(fields["scale"] or "1")
            return _INDEXED, offset, base, _register(fields["index"], arm), scale.bit_length() - 1
        except (KeyError, TypeError):
            raise self._cannot(probe, f"has an argument in {text!r}") from None

    def _cannot(self, probe: Probe, what: str) -> LoadError:
        message = f"the probe {probe.provider}:{probe.name} {what}"
        return impossible(self._program, message)


_MASK = 0xFFFF_FFFF_FFFF_FFFF


def _split(arguments: str) -> list[str]:
    """Cut at blanks that stand outside brackets: arm64 writes 8@[sp, 8]."""
    return re.findall(r"(?:\[[^\]]*\]|\S)+", arguments)


def _register(name: str, arm: bool) -> int:
    """A register's place in struct pt_regs. Raises KeyError for what is none."""
    name = name.lstrip("%")
    if arm:
        return _ARM64[name]
    if name[:1] == "r" and name[1:2].isdigit():
        return _X86[name.rstrip("dwb")]
    if name in ("al", "bl", "cl", "dl"):
        return _X86[f"{name[0]}x"]
    if name in ("sil", "dil", "bpl", "spl"):
        return _X86[name[:2]]
    return _X86[name.removeprefix("r").removeprefix("e")]
