"""Pins: names in a BPF file system that keep maps, programs and links alive.

Folders that a pin needs are made, and removed again with the last pin in them. What is opened
by its pin is checked: for its kind, and a map for the fields of the description it is to fit.
"""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import fields

from ebpfasm.errors import LoadError, Location, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime import bpffs, syscall
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.objects import object_info
from ebpfasm.runtime.refusals import BPF, refused

Path = str | os.PathLike[str]

_OBJECT = struct.Struct("=QII")  # path name, descriptor, flags
_HEAD = struct.Struct("=II")  # type and id, with which the infos of all three kinds begin
_NO_BPFFS = f"it is not in a BPF file system, such as {bpffs.DEFAULT}"
_NO_DOTS = "names in a BPF file system have no dots"

# Flags that a map comes back with though nobody asked for them (dev_map_init_map in the kernel).
_GIVEN = {
    "devmap": CONSTANTS["BPF_F_RDONLY_PROG"],
    "devmap_hash": CONSTANTS["BPF_F_RDONLY_PROG"],
}


def pin(fd: int, path: Path, what: str) -> None:
    """Give an object a name in a BPF file system, with the folders it takes. Raises LoadError."""
    text = os.fspath(path)
    made = bpffs.make_folders(text)
    name = bytearray(os.fsencode(text) + b"\0")
    try:
        syscall.bpf(syscall.OBJ_PIN, bytearray(_OBJECT.pack(syscall.address(name), fd, 0)))
    except OSError as refusal:
        number = refusal.errno or 0
        why = _why_not(text, number)
        bpffs.remove_folders(made)
        hint: str | None = "open that, unpin it (rm does), or take another name"
        if number != errno.EEXIST:
            hint = None if bpffs.holds(text) else bpffs.HINT
        raise refused("pin-failed", f"pin {what} to {text!r}", number, why=why, hint=hint) from None


class Pinnable(Descriptor):
    """An open descriptor of what can be pinned."""

    _pins: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"fd {self.fd}"

    def pin(self, path: Path) -> None:
        """Give it a name in a BPF file system, which keeps it alive; folders are made.

        Raises LoadError where the name is taken, or does not lie in a BPF file system.
        """
        pin(self.fd, path, self.called)
        self._pins += (os.fspath(path),)

    def unpin(self, path: Path | None = None) -> None:
        """Remove a pin, by default each that was made through this object, and empty folders.

        Raises LoadError where it is gone, or what is there now is something else.
        """
        paths = self._pins if path is None else (os.fspath(path),)
        for each in paths:
            found = _get(each)
            try:
                same = identity(found) == identity(self.fd)
            finally:
                os.close(found)
            if not same:
                message = f"cannot unpin {each!r}: it is not {self.called} that is pinned there"
                raise LoadError(error("pin-failed", message), errno=errno.EINVAL)
            unpin(each)
            self._pins = tuple(one for one in self._pins if one != each)


def unpin(path: Path) -> None:
    """Remove a pin, and the folders above it that are empty then, up to the file system's root.

    Raises LoadError where there is none, and for what is no pin.
    """
    text = os.fspath(path)
    if os.path.lexists(text) and not bpffs.is_pin(text):
        message = f"cannot unpin {text!r}: it is no pin in a BPF file system"
        raise LoadError(error("pin-failed", message), errno=errno.EINVAL)
    folders = bpffs.folders_above(text)
    try:
        os.unlink(text)
    except OSError as problem:
        why = "there is no such pin" if problem.errno == errno.ENOENT else ""
        raise refused("pin-failed", f"unpin {text!r}", problem.errno or 0, why=why) from None
    bpffs.remove_folders(folders)


def open_pin(path: Path, kind: str) -> int:
    """A descriptor of what is pinned: a "map", a "prog" or a "link". Raises LoadError.

    Its errno is ENOENT where there is no pin.
    """
    fd = _get(path)
    found = kind_of(fd)
    if found != kind:
        os.close(fd)
        is_a = f"it is a {_WORDS.get(found, found)}, not a {_WORDS[kind]}"
        message = f"cannot open {os.fspath(path)!r}: {is_a}"
        raise LoadError(error("pin-failed", message), errno=errno.EINVAL)
    return fd


def _get(path: Path) -> int:
    text = os.fspath(path)
    name = bytearray(os.fsencode(text) + b"\0")
    try:
        return syscall.bpf(syscall.OBJ_GET, bytearray(_OBJECT.pack(syscall.address(name), 0, 0)))
    except OSError as refusal:
        number = refusal.errno or 0
        why = _why_no_object(text, number)
        raise refused("pin-failed", f"open {text!r}", number, why=why, needs=BPF) from None


_WORDS = {"map": "map", "prog": "program", "link": "link"}


def kind_of(fd: int) -> str:
    """What an open descriptor is: "map", "prog", "link", "btf", or what the kernel calls it."""
    name = os.readlink(f"/proc/self/fd/{fd}").removeprefix("anon_inode:").strip("[]")
    return name.removeprefix("bpf-").removeprefix("bpf_")


def identity(fd: int) -> tuple[str, int]:
    """What an open descriptor is, and the kernel's number for it. Raises OSError."""
    info = bytearray(_HEAD.size)
    object_info(fd, info)
    return kind_of(fd), _HEAD.unpack(info)[1]


@dataclass(frozen=True, slots=True)
class Shape:
    """What two maps must have in common to stand for each other. Sizes in bytes."""

    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int


def shape_of(map: MapSpec | MapInfo) -> Shape:
    """A map's shape, without the flags that the kernel adds by itself."""
    row = MAP_TYPES.find(map.type) if isinstance(map.type, str) else MAP_TYPES.by_id.get(map.type)
    type = str(map.type) if row is None else row.name
    flags = map.flags
    match map:
        case MapSpec(numa_node=node) if node is not None:
            flags |= CONSTANTS["BPF_F_NUMA_NODE"]
        case MapInfo():
            flags &= ~_GIVEN.get(type, 0)
        case _:
            pass
    return Shape(type, map.key_size, map.value_size, map.max_entries, flags, map.map_extra)


def check_shape(fd: int, spec: MapSpec, where: str, *, span: Location | None = None) -> None:
    """Hold an open map against a description.

    Raises LoadError of the code "map-mismatch" that names every field in which they differ;
    `where` says which map it is ("the map pinned at '/sys/fs/bpf/m'").
    """
    found, wanted = shape_of(read_map_info(fd)), shape_of(spec)
    differing = [
        f"{each.name} is {_shown(each.name, found)}, not {_shown(each.name, wanted)}"
        for each in fields(Shape)
        if getattr(found, each.name) != getattr(wanted, each.name)
    ]
    if differing:
        message = f"{where} does not fit map {spec.name!r}: its {', its '.join(differing)}"
        hint = "change the description, or remove the map that is there"
        raise LoadError(
            error("map-mismatch", message, span or spec.span, hint=hint), errno=errno.EINVAL
        )


def _shown(field: str, shape: Shape) -> str:
    value = getattr(shape, field)
    return hex(value) if field in ("flags", "map_extra") else str(value)


def _why_not(text: str, number: int) -> str:
    name = os.path.basename(text)
    match number:
        case errno.EEXIST:
            return "there is something already"
        case errno.EPERM | errno.EINVAL | errno.ENOENT if not bpffs.holds(text):
            return _NO_BPFFS
        case errno.ENOENT:
            return "its folder does not exist"
        case errno.EPERM if "." in name:
            return _NO_DOTS
        case _:
            return ""


def _why_no_object(text: str, number: int) -> str:
    match number:
        case errno.ENOENT:
            return "there is no such pin"
        case errno.EACCES | errno.EINVAL if not bpffs.is_pin(text):
            return _NO_BPFFS
        case _:
            return ""
