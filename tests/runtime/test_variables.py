from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

import ebpfasm
from ebpfasm.errors import EncodeError, LoadError, NotSupported
from ebpfasm.ir import VarSpec
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.variables import Section, Variable
from tests.elf.objects import compiled
from tests.runtime.samples import bpftool, descriptors
from tests.support import excuse

pytestmark = [pytest.mark.kernel, pytest.mark.tool("clang")]

FRAME = bytes(64)
DROP, PASS = 1, 2


@pytest.fixture
def live() -> Iterator[Collection]:
    with ebpfasm.load(compiled("live")) as collection:
        yield collection


def dumped(collection: Collection, section: str) -> dict[str, Any]:
    """A section's variables as bpftool reads them."""
    (element,) = bpftool("map", "dump", "id", collection.maps[section].id)
    (rows,) = element["formatted"]["value"].values()
    return {name: value for row in rows for name, value in row.items()}


def test_variables_have_the_types_that_btf_tells(live: Collection) -> None:
    found = {name: each.value for name, each in live.variables.items()}
    assert found == {
        "threshold": 5,
        "limits": {"first": -1, "second": 2, "name": b"limit"},
        "runs": 0,
        "step": -3,
        "flag": True,
        "mood": 7,
        "last": {"first": 1, "second": 2, "name": b"first"},
        "bytes": b"\x01\x02\x03\0\0\0",
        "table": [10, 20, 30],
        "hidden": 77,
    }


def test_both_sides_see_what_the_other_writes(live: Collection) -> None:
    program, variables = live.programs["count"], live.variables
    assert program.test_run(FRAME).retval == PASS
    assert (variables["runs"].value, variables["hidden"].value) == (1, 78)
    assert variables["last"].value == {"first": -2, "second": 2, "name": b"first"}
    variables["runs"].value = 1 << 40
    variables["step"].value = 12
    variables["last"].value = {"first": 100, "second": 0, "name": b"changed"}
    assert program.test_run(FRAME).retval == DROP
    assert variables["runs"].value == (1 << 40) + 1
    assert variables["last"].value == {"first": 112, "second": 2, "name": b"changed"}
    assert variables["table"].value == [10, 22, 30]


@pytest.mark.tool("bpftool")
def test_bpftool_reads_what_is_set(live: Collection) -> None:
    live.variables["step"].value = -7
    live.variables["table"].value = [1, 2, 3]
    data = dumped(live, ".data")
    assert (data["step"], data["table"]) == (-7, [1, 2, 3])
    live.variables["runs"].value = 9
    assert dumped(live, ".bss")["runs"] == 9


def test_constants_are_set_before_the_load() -> None:
    spec = ebpfasm.open(compiled("live"))
    spec.variables["threshold"].value = 0
    with ebpfasm.load(spec) as live:
        assert live.variables["threshold"].value == 0
        assert live.programs["count"].test_run(FRAME).retval == DROP
        with pytest.raises(LoadError) as refusal:
            live.variables["threshold"].value = 1
    assert str(refusal.value) == (
        "error[map-operation]: variable 'threshold' is constant: .rodata is frozen once it is "
        "loaded\n   hint: set it before that: spec.variables['threshold'].value = ..."
    )
    assert refusal.value.errno == errno.EPERM


MISFITS = [
    ("step", 1 << 15, "variable 'step' is an integer from -32768 to 32767"),
    ("step", "text", "variable 'step' is an integer"),
    ("last", {"first": 1 << 31, "second": 0, "name": b""}, "variable 'last': field first"),
    ("last", {"first": 1}, "variable 'last'"),
    ("table", [1, 2], "variable 'table'"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), MISFITS)
def test_what_does_not_fit_changes_nothing(
    live: Collection, name: str, value: object, sentence: str
) -> None:
    before = live.variables[name].value
    with pytest.raises(EncodeError) as refusal:
        live.variables[name].value = value
    assert sentence in str(refusal.value)
    assert live.variables[name].value == before


def test_sections_that_cannot_be_mapped_are_read_by_look_ups(live: Collection) -> None:
    plain = Section(live.maps[".data"])
    plain._mappable = False
    spec = live.variables["table"].spec
    variable = Variable(spec, plain)
    assert variable.value == live.variables["table"].value == [10, 20, 30]
    variable.value = [4, 5, 6]
    assert live.variables["table"].value == [4, 5, 6]
    assert plain.memory() is None


def test_without_types_a_variable_is_a_number_or_bytes(live: Collection) -> None:
    table = live.variables["table"].spec
    for size, expected in ((4, 10), (12, b"\x0a\0\0\0\x14\0\0\0\x1e\0\0\0")):
        bare = VarSpec("bare", ".data", table.offset, size)
        assert Variable(bare, Section(live.maps[".data"])).value == expected


def test_closing_takes_the_mappings_back() -> None:
    before = descriptors()
    with ebpfasm.load(compiled("live")) as live:
        assert live.variables["runs"].value == 0
        with open("/proc/self/maps") as maps:
            assert "bpf-map" in maps.read()
        variable = live.variables["runs"]
    with open("/proc/self/maps") as maps:
        assert "bpf-map" not in maps.read()
    with pytest.raises(ValueError, match="closed"):
        _ = variable.value
    assert descriptors() == before


def test_an_arenas_variables_are_live_too() -> None:
    try:
        collection = ebpfasm.load(compiled("arena"))
    except NotSupported as refusal:
        excuse(refusal, "6.9")
    with collection as live:
        first = live.variables["first"]
        assert (first.value, live.variables["second"].value) == (11, [1, 2, 3, 4])
        first.value = 40
        assert live.programs["touch"].test_run().retval == 41
        assert (first.value, live.variables["second"].value) == (41, [1, 2, 5, 4])
        arena = live.arenas["arena"]
        assert arena.read(first.spec.offset, 4) == (41).to_bytes(4, "little")
    with pytest.raises(ValueError, match="arena 'arena' is closed"):
        _ = first.value
