"""A process in a user namespace of its own, with a BPF file system that hands rights on to it.

Run as `python delegated.py SOCKET FOLDER CODE`: the child's half. `delegated()` is the parent's.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support import ROOT

# System calls with these numbers on every architecture (asm-generic/unistd.h).
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
_SET_STRING, _CREATE = 1, 6
_NEW = 0x10000000 | 0x00020000 | 0x40000000  # user, mount and network namespaces
_EMPTY_PATH = 4
_HERE = -100

ALL = {"delegate_cmds": "any", "delegate_maps": "any", "delegate_progs": "any",
       "delegate_attachs": "any"}  # fmt: skip


def _call(number: int, *words: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in words]
    result = int(libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def delegated(
    folder: Path, code: str, delegate: Mapping[str, str] = ALL, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code, which finds the file system at `place`, in such a namespace."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", "tests.runtime.delegated", str(theirs.fileno())]
        child = subprocess.Popen(
            [*command, str(folder), code], cwd=ROOT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, pass_fds=[theirs.fileno()], env={**os.environ, **environment},
        )  # fmt: skip
        theirs.close()
        try:
            assert ours.recv(1) == b"u"
            for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
                Path(f"/proc/{child.pid}/{name}").write_text(text)
            ours.send(b"m")
            _, (context, *_), _, _ = socket.recv_fds(ours, 1, 1)
            for key, value in delegate.items():
                _call(_FSCONFIG, context, _SET_STRING, key.encode(), value.encode(), 0)
            _call(_FSCONFIG, context, _CREATE, None, None, 0)
            os.close(context)
            ours.send(b"c")
        finally:
            ours.close()
            out, err = child.communicate()
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def _inside(number: int, folder: str, code: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(fileno=number) as other:
        if libc.unshare(_NEW):
            raise OSError(ctypes.get_errno(), "unshare")
        other.send(b"u")
        assert other.recv(1) == b"m"
        context = _call(_FSOPEN, b"bpf", 0)
        socket.send_fds(other, [b"f"], [context])
        assert other.recv(1) == b"c"
    mount = _call(_FSMOUNT, context, 0, 0)
    os.close(context)
    _call(_MOVE_MOUNT, mount, b"", _HERE, folder.encode(), _EMPTY_PATH)
    os.close(mount)
    exec(code, {"place": folder})


if __name__ == "__main__":
    _inside(int(sys.argv[1]), sys.argv[2], sys.argv[3])
