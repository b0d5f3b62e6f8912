"""Functions, variables and types of the running kernel and its modules, by name.

A module's types are named by a BTF id together with a descriptor of the module's BTF, which is
kept open for as long as programs are being loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import BtfType
from ebpfasm.closing import Closing
from ebpfasm.errors import BtfError, LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.runtime import kernel_btf, syscall
from ebpfasm.runtime.info.btf import read_btf_info
from ebpfasm.runtime.info.ids import open_by_id, walk_ids


@dataclass(frozen=True, slots=True, eq=False)
class KernelType:
    """A type of the kernel's: its id in `types`. `module` is empty for vmlinux, and `fd` 0."""

    id: int
    types: BtfIndex
    module: str = ""
    fd: int = 0


class KernelTypes(Closing):
    """Finds types in vmlinux first, then in the modules."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def find(self, kind: type[BtfType], name: str, module: str | None = None) -> KernelType | None:
        """The first type of a kind and name, in one module only where that is named.

        "vmlinux" is the kernel without its modules. Raises NotSupported where the kernel has no
        BTF, LoadError where a module's cannot be opened.
        """
        if module in (None, "vmlinux"):
            types = kernel_btf.vmlinux()
            found = types.find(kind, name)
            if found:
                return KernelType(found[0], types)
            if module is not None:
                return None
        for each, types in self._modules(module):
            own = [number for number in types.find(kind, name) if number >= types.first_id]
            if own:
                return KernelType(own[0], types, each, self.descriptor(each))
        return None

    def _modules(self, only: str | None) -> Iterator[tuple[str, BtfIndex]]:
        for name in kernel_btf.modules() if only is None else (only,):
            try:
                yield name, kernel_btf.module(name)
            except BtfError:
                continue  # a damaged one, or one that is gone, has nothing to offer

    def descriptor(self, module: str) -> int:
        """A module's BTF, open until close(). Raises LoadError."""
        if module not in self._fds:
            self._fds[module] = _open(module)
        return self._fds[module]

    def close(self) -> None:
        """Close what was opened."""
        fds, self._fds = self._fds, {}
        for each in fds.values():
            os.close(each)


def _open(module: str) -> int:
    for number in walk_ids(syscall.BTF_GET_NEXT_ID, "kernel's BTF"):
        try:
            fd = open_by_id(syscall.BTF_GET_FD_BY_ID, number, f"BTF {number}")
        except LoadError:
            continue
        try:
            info = read_btf_info(fd)
        except OSError:
            info = None
        if info is not None and info.kernel and info.name == module:
            return fd
        os.close(fd)
    raise LoadError(error("load-symbol", f"the BTF of module {module!r} cannot be opened"))
