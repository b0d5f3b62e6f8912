"""The tables of libbpf's usdt.bpf.h: for each place of a probe, where its arguments are.

A program that includes usdt.bpf.h has a map __bpf_usdt_specs, whose element number is the cookie
of the place. Kernels before 5.15 have no cookies: there the program looks its own address up in
__bpf_usdt_ip_to_spec_id. Both are found among the program's maps by their names, as far as the
kernel keeps those.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError
from ebpfasm.runtime import syscall
from ebpfasm.runtime.attach.failures import has_link_type, impossible
from ebpfasm.runtime.attach.numbers import check_cookie
from ebpfasm.runtime.attach.usdt_arguments import INDEXED, Argument, Unreadable, read_arguments
from ebpfasm.runtime.info.ids import open_by_id
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.info.program import read_program_info
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.elf.binaries import Probe
    from ebpfasm.runtime.attach.methods import Attachable

_SPECS = "__bpf_usdt_spec"  # 15 characters of __bpf_usdt_specs
_PLACES = "__bpf_usdt_ip_t"  # and of __bpf_usdt_ip_to_spec_id
_ARGUMENTS = 12  # BPF_USDT_MAX_ARG_CNT
_TAIL = 16  # usdt_cookie, arg_cnt and padding
_INDEXED_ROOM = 24  # bytes of an argument since libbpf 1.7, which has room for an index; before 16
_MASK = 0xFFFF_FFFF_FFFF_FFFF


class UsdtTables(Closing):
    """The tables of one program; nothing happens for a program without them.

    Raises LoadError for arguments that cannot be described to the program.
    """

    def __init__(self, program: Attachable) -> None:
        self._program = program
        self._fd = self._places = -1
        self._info: MapInfo | None = None
        for number in read_program_info(program.fd).map_ids:
            fd = open_by_id(syscall.MAP_GET_FD_BY_ID, number, f"map {number}")
            info = read_map_info(fd)
            if info.name == _SPECS and self._fd < 0:
                self._fd, self._info = fd, info
            elif info.name == _PLACES and self._places < 0:
                self._places = fd
            else:
                os.close(fd)

    @property
    def by_address(self) -> bool:
        """Whether the program finds a description by its address, for want of cookies."""
        return self._places >= 0 and has_link_type("perf_event") is False

    def add(self, probe: Probe, cookie: int) -> int:
        """Describe a place; the cookie to attach with: the place's number, or the user's own.

        Raises LoadError where the arguments cannot be described, or the map is full.
        """
        check_cookie(cookie)
        if self._info is None:
            return cookie
        size = self._info.value_size
        content = self._spec(probe, cookie, size)
        free = 0  # which is kept for none
        for number in range(1, self._info.max_entries):
            found = self._element(number, size)
            if found == content:
                return number  # another place's, or one from before
            if not any(found):
                free = number
                break
        if not free:
            count = self._info.max_entries
            raise impossible(self._program, f"its map of USDT probes is full ({count})")
        self._call(syscall.MAP_UPDATE_ELEM, self._fd, struct.pack("=I", free), bytearray(content))
        return free

    def locate(self, address: int, number: int) -> None:
        """Say which description is that of the probe at an address of a process."""
        word = struct.pack("=Q", address)
        value = bytearray(struct.pack("=I", number))
        self._call(syscall.MAP_UPDATE_ELEM, self._places, word, value)

    def taken(self) -> UsdtTables:
        """The same tables for an attachment to keep; these are closed without them."""
        kept = copy(self)
        self._fd = self._places = -1
        return kept

    def forget(self, address: int) -> None:
        """Take back what locate() said."""
        with suppress(LoadError):  # it went with another attachment at the same place
            word = struct.pack("=Q", address)
            self._call(syscall.MAP_DELETE_ELEM, self._places, word, bytearray())

    def close(self) -> None:
        """Give the maps' descriptors back; what is in them stays."""
        for fd in (self._fd, self._places):
            if fd >= 0:
                os.close(fd)
        self._fd = self._places = -1

    def _element(self, number: int, size: int) -> bytes:
        value = bytearray(size)
        self._call(syscall.MAP_LOOKUP_ELEM, self._fd, struct.pack("=I", number), value)
        return bytes(value)

    def _call(self, command: int, fd: int, key: bytes, value: bytearray) -> None:
        words = bytearray(key)
        places = syscall.address(words), syscall.address(value) if value else 0
        try:
            syscall.bpf(command, bytearray(struct.pack("=I4xQQQ", fd, *places, 0)))
        except OSError as refusal:
            what = "describe a USDT probe's arguments"
            raise refused("attach-failed", what, refusal.errno or 0) from None

    def _spec(self, probe: Probe, cookie: int, size: int) -> bytes:
        room = (size - _TAIL) // _ARGUMENTS
        try:
            arguments = read_arguments(probe.arguments, platform.machine())
        except Unreadable as problem:
            raise self._cannot(probe, f"has {problem}") from None
        if len(arguments) > _ARGUMENTS:
            raise self._cannot(probe, f"has {len(arguments)} arguments, more than {_ARGUMENTS}")
        found = [self._argument(probe, each, room) for each in arguments]
        # One that has no arguments must not look like a free element.
        head = b"".join(found).ljust(room * _ARGUMENTS, b"\0")
        if not found:
            head = b"\1" + head[1:]
        return (head + struct.pack("=Qh6x", cookie, len(found))).ljust(size, b"\0")

    def _argument(self, probe: Probe, argument: Argument, room: int) -> bytes:
        size, kind, value, register, index, shift = argument
        tail = struct.pack("=hBB", register, size < 0, 64 - 8 * abs(size))
        if room < _INDEXED_ROOM:
            if kind == INDEXED:
                raise self._cannot(probe, "has an argument that takes libbpf 1.7's usdt.bpf.h")
            return struct.pack("=QI", value & _MASK, kind) + tail
        packed = index | shift << 12 if sys.byteorder == "little" else index << 4 | shift
        return (struct.pack("=QBxHBx", value & _MASK, kind, packed, 0) + tail).ljust(room, b"\0")

    def _cannot(self, probe: Probe, what: str) -> LoadError:
        message = f"the probe {probe.provider}:{probe.name} {what}"
        return impossible(self._program, message)
