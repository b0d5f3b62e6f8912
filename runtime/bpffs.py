"""The BPF file system: where it is, mounting it, and the folders in it that pins need."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from ebpfasm.errors import LoadError, error
from ebpfasm.runtime.refusals import refused

DEFAULT = "/sys/fs/bpf"

HINT = (
    f"pin below {DEFAULT}; where no BPF file system is mounted there: "
    f"mount -t bpf bpf {DEFAULT}, or ebpfasm.runtime.bpffs.mount()"
)

_ADMIN = ("CAP_SYS_ADMIN",)


def mount(path: str | os.PathLike[str] = DEFAULT) -> None:
    """Mount a BPF file system, unless there is one; the folder is made where it is missing.

    Raises LoadError: the code is "permission" without CAP_SYS_ADMIN.
    """
    text = os.fspath(path)
    try:
        os.makedirs(text, mode=0o700, exist_ok=True)
    except OSError as problem:
        raise _cannot(f"make the folder {text!r}", problem) from None
    if is_mounted(text):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(text), b"bpf", ctypes.c_ulong(0), b"mode=0700") < 0:
        number = ctypes.get_errno()
        what = f"mount a BPF file system at {text!r}"
        raise refused("pin-failed", what, number, needs=_ADMIN)


def unmount(path: str | os.PathLike[str]) -> None:
    """Take a BPF file system away, and with it all its pins. Raises LoadError."""
    text = os.fspath(path)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(text), 0) < 0:
        raise refused("pin-failed", f"unmount {text!r}", ctypes.get_errno(), needs=_ADMIN)


def is_mounted(path: str | os.PathLike[str]) -> bool:
    """Whether a folder or file that exists lies in a BPF file system."""
    return root_of(path) is not None


def holds(path: str | os.PathLike[str]) -> bool:
    """Whether a name would lie in a BPF file system."""
    return is_mounted(os.path.dirname(os.path.abspath(path)))


def root_of(path: str | os.PathLike[str]) -> str | None:
    """The mount point of the BPF file system that holds an existing path, None for any other."""
    place = os.path.realpath(path)
    try:
        device = os.stat(place).st_dev
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    found = [
        point
        for kind, device_number, point in _mounts()
        if kind == "bpf" and device_number == number and _lies_in(place, point)
    ]
    return max(found, key=len, default=None)


def make_folders(path: str) -> list[str]:
    """Make the folders above a pin that are missing; those made, the innermost last.

    Nothing is made outside a BPF file system. Raises LoadError.
    """
    missing: list[str] = []
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    if missing and not is_mounted(folder):
        message = f"cannot pin to {path!r}: {folder!r} is not in a BPF file system"
        raise LoadError(error("pin-failed", message, hint=HINT), errno=errno.EPERM)
    made: list[str] = []
    for each in missing:
        try:
            os.mkdir(each, mode=0o700)
        except FileExistsError:
            continue  # somebody else was quicker
        except OSError as problem:
            remove_folders(made)
            raise _cannot(f"make the folder {each!r}", problem) from None
        made.append(each)
    return made


def remove_folders(folders: list[str]) -> None:
    """Remove those of the folders that are empty, the last one first."""
    for each in reversed(folders):
        try:
            os.rmdir(each)
        except OSError:
            return  # somebody uses it


def folders_above(path: str) -> list[str]:
    """The folders between a BPF file system's root and a path, the innermost last."""
    root = root_of(os.path.dirname(os.path.abspath(path)) or "/")
    if root is None:
        return []
    found: list[str] = []
    folder = os.path.dirname(os.path.realpath(path))
    while folder != root and _lies_in(folder, root):
        found.insert(0, folder)
        folder = os.path.dirname(folder)
    return found


def is_pin(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file, not a folder or symbolic link, in a BPF file system."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and is_mounted(path)
    except OSError:
        return False


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _mounts() -> list[tuple[str, str, str]]:
    """Kind, device number and place of each mount."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            fields = before.split()
            point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
            found.append((after.split()[0], fields[2], point))
    return found


def _cannot(what: str, problem: OSError) -> LoadError:
    return refused("pin-failed", what, problem.errno or 0, needs=_ADMIN)
