"""What the kernel can do, beside bpftool's probe, the verifier itself, and the tables."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Any

import pytest

import ebpfasm
from ebpfasm import NotSupported, runtime
from ebpfasm.isa.helpers import HELPERS
from ebpfasm.isa.kinds import ATTACH_TYPES, LINK_TYPES, MAP_TYPES, PROGRAM_TYPES
from ebpfasm.isa.table import TABLE
from ebpfasm.runtime import syscall
from ebpfasm.runtime.features import Features, features
from ebpfasm.runtime.features.answer import Answer
from tests import support
from tests.isa.test_helpers import granted
from tests.runtime.samples import descriptors
from tests.support import find_tool

pytestmark = pytest.mark.kernel


@cache
def bpftool_probe() -> Any:
    command = [find_tool("bpftool"), "--json", "feature", "probe", "kernel"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


# bpftool loads these without what they need, and takes the refusal for a no.
UNSURE = {"tracing", "ext", "lsm", "struct_ops"}


@pytest.mark.tool("bpftool")
def test_program_types_are_those_that_bpftool_finds() -> None:
    found = features()["program_types"]
    for key, there in bpftool_probe()["program_types"].items():
        name = key.removeprefix("have_").removesuffix("_prog_type")
        if name not in UNSURE:
            assert found[name].supported is there, found[name]


@pytest.mark.tool("bpftool")
def test_map_types_are_those_that_bpftool_finds() -> None:
    found = features()["map_types"]
    for key, there in bpftool_probe()["map_types"].items():
        name = key.removeprefix("have_").removesuffix("_map_type")
        assert found[name].supported is there, found[name]


@pytest.mark.tool("bpftool")
def test_levels_and_limits_are_those_that_bpftool_finds() -> None:
    misc, found = bpftool_probe()["misc"], features()
    assert bool(found["isa"]["v2"]) is misc["have_v2_isa_extension"]
    assert found["isa"]["jlt32_reg"].supported is misc["have_v3_isa_extension"]
    assert bool(found["others"]["large_programs"]) is misc["have_large_insn_limit"]
    assert bool(found["others"]["bounded_loops"]) is misc["have_bounded_loops"]


@pytest.mark.parametrize("program_type", ["xdp", "socket_filter", "lwt_xmit", "perf_event"])
def test_helpers_are_those_that_the_verifier_grants(program_type: str) -> None:
    answers = features().helpers(program_type)
    yes = {name.removeprefix("bpf_") for name, answer in answers.items() if answer}
    assert yes == granted(program_type)
    assert all(answer.supported is not None for answer in answers.values())


def test_everything_that_the_tables_know_can_be_asked() -> None:
    found = Features()
    assert set(found["program_types"]) == {row.name for row in PROGRAM_TYPES} - {"unspec"}
    assert set(found["map_types"]) == {row.name for row in MAP_TYPES} - {"unspec"}
    assert set(found["attach_types"]) == {row.name for row in ATTACH_TYPES}
    assert set(found["link_types"]) == {row.name for row in LINK_TYPES} - {"unspec"}
    assert set(found["isa"]) == {row.name for row in TABLE} | {"v1", "v2", "v3", "v4"}
    assert set(found.helpers("xdp")) == {row.name for row in HELPERS}


# What stable releases of older kernels took over later.
BACKPORTED = {("isa", "gotol")}


def test_a_kernel_has_nothing_that_came_after_it_and_says_why() -> None:
    release = support.kernel_release()
    for category, answers in features().items():
        for name, answer in answers.items():
            assert answer.evidence, (category, name)
            if answer and answer.since and (category, name) not in BACKPORTED:
                assert support.release_of(answer.since) <= release, (category, name, answer)


def test_instructions_of_this_kernels_release_are_there() -> None:
    release, found = support.kernel_release(), features()["isa"]
    for row in TABLE:
        if row.since and support.release_of(row.since) <= release and found[row.name] is not None:
            assert found[row.name].supported is not False, found[row.name]


def test_asking_leaves_nothing_behind() -> None:
    before = descriptors()
    found = Features()
    found.as_dict()
    assert descriptors() == before
    assert "yes of" in repr(found["map_types"])


def test_nothing_is_asked_before_somebody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    bpf = syscall.bpf

    def counted(command: int, attributes: bytearray) -> int:
        calls.append(command)
        return bpf(command, attributes)

    monkeypatch.setattr(syscall, "bpf", counted)
    found = Features()
    assert calls == []
    assert found["map_types"]["hash"]
    assert calls == [syscall.MAP_CREATE]
    assert found["map_types"]["hash"]
    assert calls == [syscall.MAP_CREATE]


def test_what_is_required_and_missing_is_named_with_the_first_kernel_that_has_it() -> None:
    found = Features()
    answers = found["map_types"]
    answers._known["arena"] = Answer(False, "creating one answers EINVAL", "6.9")
    with pytest.raises(NotSupported, match=r"map type arena .*Linux 6\.9") as refusal:
        found.require("map_types", "arena")
    assert (refusal.value.feature, refusal.value.since) == ("map type arena", "6.9")
    assert refusal.value.diagnostics[0].hint == "creating one answers EINVAL"
    found.require("map_types", "hash")
    answers._known["arena"] = Answer(None, "EPERM", "6.9")
    found.require("map_types", "arena")


def test_a_name_that_is_no_feature_is_a_key_error() -> None:
    found = ebpfasm.features()
    assert found is runtime.features.features()
    with pytest.raises(KeyError):
        found["map_types"]["no such"]
    with pytest.raises(KeyError):
        found.helpers("no such")
