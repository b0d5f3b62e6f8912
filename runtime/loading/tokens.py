"""BPF tokens: rights that a BPF file system hands on to a user namespace (Linux 6.9)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from ebpfasm.errors import unsupported
from ebpfasm.runtime import syscall
from ebpfasm.runtime.refusals import refused

# libbpf's name, so that what is set up for one tool serves the other.
VARIABLE = "LIBBPF_BPF_TOKEN_PATH"
_DEFAULT = "/sys/fs/bpf"
_FIRST_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO of include/linux/proc_ns.h


@contextmanager
def token_of(given: int | str | os.PathLike[str] | None) -> Iterator[int]:
    """A token's descriptor, 0 for none; one that is made here is closed at the end.

    `given` is a descriptor, or the folder of a BPF file system. Without one it is the folder that
    LIBBPF_BPF_TOKEN_PATH names, none where that is empty, else /sys/fs/bpf if that delegates
    anything to the user namespace that we are in. Raises LoadError, NotSupported for a folder that
    was named.
    """
    if given is None:
        given = os.environ.get(VARIABLE)
        if given is None and _in_first_namespace(os.getpid()):
            yield 0
            return
    if isinstance(given, int):
        if given:
            _check_open(given)
        yield given
        return
    try:
        fd = 0 if given == "" else create(_DEFAULT if given is None else given)
    except OSError as refusal:
        if given is not None:
            raise _explained(os.fspath(given), refusal.errno or 0) from None
        fd = 0
    try:
        yield fd
    finally:
        if fd:
            os.close(fd)


def _check_open(fd: int) -> None:
    """See that a descriptor is one. Raises LoadError."""
    try:
        os.fstat(fd)
    except (OSError, OverflowError):
        raise refused("load-token", f"use the BPF token {fd}", errno.EBADF) from None


def create(folder: str | os.PathLike[str]) -> int:
    """Make a token of what a BPF file system delegates; its descriptor. Raises OSError."""
    place = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscall.bpf(syscall.TOKEN_CREATE, bytearray(struct.pack("=II", 0, place)))
    finally:
        os.close(place)


@cache
def _in_first_namespace(process: int) -> bool:
    """Asked once a process: one that leaves it after its first load has to name the folder."""
    try:
        return os.stat("/proc/self/ns/user").st_ino == _FIRST_NAMESPACE
    except OSError:
        return True


def _explained(folder: str, number: int) -> Exception:
    known = {
        errno.EINVAL: "it is not the root of a BPF file system, or this kernel has no tokens",
        errno.EOPNOTSUPP: "outside of user namespaces rights need no token",
        errno.EPERM: "it belongs to another user namespace, or CAP_BPF is missing in this one",
        errno.ENOTDIR: "it is no folder",
    }
    why = known.get(number, "")
    if number == errno.ENOENT and os.path.isdir(folder):
        why = "it delegates nothing"
        hint = "it is to be mounted with delegate_cmds, delegate_maps, delegate_progs and so on"
        return refused("load-token", f"make a BPF token of {folder}", number, why=why, hint=hint)
    if number == errno.ENOSYS:
        return unsupported("BPF tokens", "6.9")
    return refused("load-token", f"make a BPF token of {folder}", number, why=why)
