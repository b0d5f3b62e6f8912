"""Variables of section .kconfig in the virtual machine: what the test says, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from ebpfasm.analysis.vm import World
from ebpfasm.errors import VmError, error
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.specs import KconfigSpec
from ebpfasm.runtime.loading.kconfig import packed


def configure(
    world: World, externs: Iterable[KconfigSpec], given: Mapping[str, str | int | bool]
) -> None:
    """Give variables of .kconfig their values. Raises VmError where one has none."""
    found = world.maps.get(".kconfig")
    if found is None:
        return
    key = bytes(found.key_size)
    value = found.lookup_bytes(key) or bytearray(found.value_size)
    contents = found.spec.contents
    written = contents.written if isinstance(contents, Contents) else set()
    for each in externs:
        if each.name in given:
            content = packed(each, given[each.name], sys.byteorder)
            value[each.offset : each.offset + len(content)] = content
        elif not each.weak and each.offset not in written:
            hint = f'give it one: kconfig={{"{each.name}": ...}}'
            raise VmError(error("vm-input", f"{each.name} has no value here", hint=hint))
    found.update_bytes(key, value)
