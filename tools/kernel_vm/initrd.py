"""The initial file system: busybox, the modules that reach the host, and the two stages."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from kernel_vm import guest
from kernel_vm.failure import Failed, need
from kernel_vm.kernels import Kernel, module_bytes

# What the first stage needs in order to reach the host; those built into a kernel are skipped.
_MODULES = ("virtio_pci", "virtio_console", "overlay", "9pnet_virtio", "9p")
_FOLDER, _PROGRAM, _FILE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
_PROBE = b"#!/busybox sh\necho kernel-vm-probe\n/busybox reboot -f\n"

Entry = tuple[str, int, bytes]  # name, mode, content


def initrd(
    kernel: Kernel, command: list[str], shares: list[str], extra: Mapping[str, str]
) -> bytes:
    """The archive to boot with; `extra` is added to the environment. Raises Failed."""
    entries: list[Entry] = [("modules", _FOLDER, b""), ("dev", _FOLDER, b"")]
    entries += [
        ("busybox", _PROGRAM, _busybox()),
        ("init", _PROGRAM, guest.first_stage()),
        ("probe", _PROGRAM, _PROBE),
        ("stage2", _PROGRAM, guest.second_stage()),
        ("conf", _FILE, _configuration(kernel, shares)),
        ("command", _FILE, _script(kernel, command, extra)),
        ("stdin", _FILE, b""),
    ]
    modules = kernel.module_files(_MODULES)
    entries += [(f"modules/{name}.ko", _FILE, module_bytes(path)) for name, path in modules]
    order = "".join(f"{name}.ko\n" for name, _ in modules)
    entries.append(("modules/order", _FILE, order.encode()))
    return _archive(entries)


def _busybox() -> bytes:
    content = Path(need("busybox", "busybox-static")).read_bytes()
    if b"/ld-linux" in content[:4096]:
        raise Failed("busybox is not static (Debian package busybox-static)")
    return content


def _configuration(kernel: Kernel, shares: list[str]) -> bytes:
    lines = [f"N_RW={len(shares)}"]
    lines += [f"RW_{number}={shlex.quote(each)}" for number, each in enumerate(shares)]
    lines.append(f"MODULES={shlex.quote(str(kernel.modules))}")
    lines.append(f"MODULES_AT=/lib/modules/{kernel.release}")
    return "".join(f"{each}\n" for each in lines).encode()


def _script(kernel: Kernel, command: list[str], extra: Mapping[str, str]) -> bytes:
    environment = {**os.environ, "KERNEL_VM": kernel.release, **extra}
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in environment.items()
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    ]
    lines.append(f"cd {shlex.quote(os.getcwd())} || exit 125")
    # A busybox shell prefers its own commands to those on PATH, env does not.
    lines.append(f"exec /usr/bin/env -- {shlex.join(command)}")
    return "".join(f"{each}\n" for each in lines).encode()


def _archive(entries: list[Entry]) -> bytes:
    """A cpio archive in the form that the kernel takes ("newc")."""
    parts: list[bytes] = []
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0]
        head = b"070701" + b"".join(b"%08X" % each for each in fields) + raw
        parts += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
    return b"".join(parts)
