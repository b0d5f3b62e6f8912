"""What a program needs of a kernel, by the tables of the ISA, helpers, maps and types."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpfasm.ir import Instruction, ProgramSpec
from ebpfasm.isa import helpers
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.forms import Form
from ebpfasm.isa.kinds import ATTACH_TYPES, MAP_TYPES, PROGRAM_TYPES
from tests.support import kernel_release, release_of


def need(*programs: ProgramSpec) -> None:
    """Skip where the kernel is older than something that a program uses."""
    release, name = newest(*programs)
    if release_of(release) > kernel_release():
        pytest.skip(f"unsupported: {name} (Linux {release})")


def newest(*programs: ProgramSpec) -> tuple[str, str]:
    """The last release that brought something that a program uses, and what that is."""
    found = [each for program in programs for each in _used(program)]
    return max(found, key=lambda each: release_of(each[0]), default=("", ""))


def _used(program: ProgramSpec) -> Iterator[tuple[str, str]]:
    streams = [program.instructions, *(each.instructions for each in program.functions)]
    for each in (item for stream in streams for item in stream if isinstance(item, Instruction)):
        yield each.spec.since, each.spec.name
        if each.spec.form is Form.CALL_HELPER and (helper := helpers.find(each.imm)):
            yield helper.since, helper.name
    for map in program.maps:
        if row := MAP_TYPES.find(str(map.type)):
            yield row.since, f"{row.name} maps"
    if program.flags & CONSTANTS["BPF_F_XDP_HAS_FRAGS"]:
        yield "5.18", "frags of XDP packets"
    for table, name in ((PROGRAM_TYPES, program.type), (ATTACH_TYPES, program.attach_type)):
        if name and (kind := table.find(name)):
            yield kind.since, f"{kind.name} programs"
