from __future__ import annotations

import os
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.errors import EbpfError
from tests.elf.objects import compiled
from tests.runtime.samples import bpftool, descriptors, passing

pytestmark = [pytest.mark.kernel, pytest.mark.tool("clang", "bpftool")]


def attached_programs() -> set[int]:
    return {each["prog_id"] for each in bpftool("link", "show") if "prog_id" in each}


@pytest.mark.needs("perf_event links")
def test_what_sections_say_is_attached_and_ends_together() -> None:
    before = descriptors()
    with ebpfasm.load(compiled("core")) as live:
        wanted = {each.id for each in live.programs.values() if "tracepoint" in each.spec.section}
        assert wanted
        with live.attach() as links:
            assert len(links.links) == len(wanted)
            assert wanted <= attached_programs()
            os.getppid()
        assert not wanted & attached_programs()
    assert descriptors() == before


def test_struct_ops_tables_are_registered_with_the_rest() -> None:
    place = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    with ebpfasm.load(compiled("struct_ops")) as live:
        with live.attach():
            assert "bpf_plain" in place.read_text().split()
        assert "bpf_plain" not in place.read_text().split()


def test_programs_that_need_a_place_are_left_alone() -> None:
    with ebpfasm.load(passing()) as live, live.attach() as links:
        assert links.links == []
        assert live.programs["pass"].id not in attached_programs()


def test_if_one_cannot_be_attached_none_is() -> None:
    spec = ebpfasm.open(compiled("core"))
    (name, program), *_ = spec.programs.items()
    bad = ebpfasm.ir.ProgramSpec(
        "bad", "tracepoint/nothing/no_such_tracepoint", "tracepoint", program.instructions,
        license="GPL", functions=program.functions, maps=program.maps, debug=program.debug,
    )  # fmt: skip
    both = ebpfasm.CollectionSpec(
        {name: program, "bad": bad}, spec.maps, license="GPL", debug=spec.debug
    )
    with ebpfasm.load(both) as live:
        number = live.programs[name].id
        before = descriptors()
        with pytest.raises(EbpfError, match="no_such_tracepoint"):
            live.attach()
        assert number not in attached_programs()
        assert descriptors() == before


def test_a_collection_shows_what_it_holds() -> None:
    with ebpfasm.load(passing()) as live:
        assert repr(live) == "<Collection of programs ['pass'] and maps []>"
