"""The kernel's own names: functions and variables whose addresses a loaded program holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ebpfasm.asm.writing.translated import Translated
from ebpfasm.btf.types import Func
from ebpfasm.errors import BtfError, NotSupported
from ebpfasm.isa.table import BY_NAME
from ebpfasm.runtime import kernel_btf

_KALLSYMS = Path("/proc/kallsyms")
_MASK = 0xFFFFFFFFFFFFFFFF

# What calls of helpers count from (include/linux/filter.h).
_BASE = " __bpf_call_base\n"

_CALL, _LDDW = BY_NAME["call_helper"].opcode, BY_NAME["lddw"].opcode
_KFUNC = BY_NAME["call_kfunc"].fixed_fields["src"]


def named(program: Translated) -> Translated:
    """The program with the names of what it calls, as far as the kernel tells them.

    Without the right to see addresses /proc/kallsyms holds zeros: then nothing is added.
    """
    calls = [each for _, each in program.instructions() if each.opcode == _CALL]
    distances = {each.imm for each in calls if each.src in (0, _KFUNC) and each.imm}
    kfuncs = {each.imm for each in calls if each.src == _KFUNC and each.off == 0}
    addresses = {
        (program.slots[slot + 1].imm << 32 | each.imm & 0xFFFFFFFF) & _MASK
        for slot, each in program.instructions()
        if each.opcode == _LDDW and slot + 1 < len(program.slots)
    }
    symbols, variables = _kallsyms(distances, addresses)
    return replace(program, symbols=symbols, addresses=variables, kfuncs=_kfuncs(kfuncs))


def _kallsyms(distances: set[int], addresses: set[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Names by distance from __bpf_call_base, and by address."""
    if not distances and not addresses:
        return {}, {}
    try:
        text = _KALLSYMS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}, {}
    at = text.find(_BASE)
    base = int(text[text.rfind("\n", 0, at) + 1 :].split(" ", 1)[0], 16) if at >= 0 else 0
    if base == 0:
        return {}, {}
    places = {each: base + each & _MASK for each in distances}
    found = _symbols_at(text, {*places.values(), *addresses})
    return (
        {each: found[place] for each, place in places.items() if place in found},
        {each: found[each] for each in addresses if each in found},
    )


def _symbols_at(text: str, wanted: set[int]) -> dict[int, str]:
    """The names of addresses in the text of /proc/kallsyms; of several the first."""
    found: dict[int, str] = {}
    spelled = {f"{address:016x}": address for address in wanted}
    for line in text.splitlines():
        address = spelled.get(line[:16])
        if address is not None:
            found.setdefault(address, line.split()[2])
    return found


def _kfuncs(ids: set[int]) -> dict[int, str]:
    """Names of kernel functions by their BTF id."""
    if not ids:
        return {}
    try:
        types = kernel_btf.vmlinux()
        read = {number: types.get(number) for number in ids if 0 < number <= len(types)}
    except (BtfError, NotSupported):
        return {}
    return {number: each.name for number, each in read.items() if isinstance(each, Func)}
