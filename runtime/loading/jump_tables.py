"""Jump tables of a program: maps of type insn_array, made, filled and frozen before it is loaded.

The kernel wants each entry as a slot counted from the program's first, the map frozen, and no
other program with it; while it rewrites the program it keeps the entries current. The program
holds its tables, so descriptors are needed for the load only.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

from ebpfasm.ir.link import LinkedProgram
from ebpfasm.runtime.loading.create import Making
from ebpfasm.runtime.maps import Map

_KEY = struct.Struct("=I")
_ENTRY = struct.Struct("=I12x")  # struct bpf_insn_array_value: orig_off; the kernel's own fields


_NONE: Mapping[str, Map] = MappingProxyType({})


@contextmanager
def jump_tables(
    linked: LinkedProgram, given: Container[str], token: int = 0
) -> Iterator[Mapping[str, Map]]:
    """A program's jump tables, open for a while. One that the caller has `given` is left to it.

    Raises LoadError, and NotSupported before Linux 6.19.
    """
    specs = [each for each in linked.maps if each.name in linked.tables and each.name not in given]
    if not specs:
        yield _NONE
        return
    making = Making(token=token)
    with ExitStack() as opened:
        made = {each.name: opened.enter_context(Map.create(each, making)) for each in specs}
        for name, table in made.items():
            for index, slot in enumerate(linked.tables[name]):
                table.update_bytes(_KEY.pack(index), _ENTRY.pack(slot))
            table.freeze()
        yield made
