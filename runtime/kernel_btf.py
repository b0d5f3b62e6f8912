"""The running kernel's own types: vmlinux' BTF and its modules', indexed once a process."""

from __future__ import annotations

import mmap
import os
from functools import cache
from pathlib import Path

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.strings import Buffer
from ebpfasm.errors import BtfError, EbpfError, error, unsupported

FOLDER = Path("/sys/kernel/btf")
_VMLINUX = "vmlinux"
# Files of the running kernel, an ELF file or BTF alone, by its release: btf__load_vmlinux_btf.
PLACES = (
    "/boot/vmlinux-{0}",
    "/lib/modules/{0}/vmlinux-{0}",
    "/lib/modules/{0}/build/vmlinux",
    "/usr/lib/modules/{0}/kernel/vmlinux",
    "/usr/lib/debug/boot/vmlinux-{0}",
    "/usr/lib/debug/boot/vmlinux-{0}.debug",
    "/usr/lib/debug/lib/modules/{0}/vmlinux",
)


@cache
def vmlinux() -> BtfIndex:
    """The kernel's types; the index is made once and kept.

    A kernel that does not show them (before 5.4) may have them in its file, which is looked for
    where libbpf does. Raises NotSupported where there are none, BtfError where the kernel's own
    cannot be understood.
    """
    try:
        data = _content(FOLDER / _VMLINUX)
    except OSError:
        return _from_disk()
    return BtfIndex(data)


def _from_disk() -> BtfIndex:
    release = os.uname().release
    for place in PLACES:
        path = place.format(release)
        if not os.access(path, os.R_OK):
            continue
        try:
            return BtfIndex.of(path)
        except EbpfError:
            continue  # as libbpf does: the next one may be whole
    hint = "give the types of the kernel that the program is for as a BTF file"
    raise unsupported("reading the kernel's types (BTF)", "5.4", hint=hint)


def modules() -> tuple[str, ...]:
    """Names of the loaded modules that have BTF (kernels from 5.11), in order."""
    try:
        return tuple(sorted(each.name for each in FOLDER.iterdir() if each.name != _VMLINUX))
    except OSError:
        return ()


def module(name: str) -> BtfIndex:
    """A module's types, on top of vmlinux'.

    Raises BtfError where there are none or they are damaged.
    """
    path = FOLDER / name
    try:
        # A module that is loaded again has other types, and another file.
        return _module(path, path.stat().st_ino)
    except (OSError, ValueError) as problem:
        raise BtfError(error("btf-format", f"module {name} has no BTF: {problem}")) from None


@cache
def _module(path: Path, inode: int) -> BtfIndex:
    return BtfIndex(_content(path), vmlinux())


def readable_modules() -> dict[str, BtfIndex]:
    """The types of all modules whose BTF can be read: a damaged one is left out."""
    found = {}
    for name in modules():
        try:
            found[name] = module(name)
        except BtfError:
            continue
    return found


def _content(path: Path) -> Buffer:
    # Kernels from 6.16 let vmlinux' BTF be mapped, which takes no memory of ours.
    with open(path, "rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        except (OSError, ValueError):
            return file.read()
