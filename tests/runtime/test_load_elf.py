"""Objects of clang, loaded: bpftool shows the same as when libbpf has loaded them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm.btf.types import Btf, Int, IntEncoding, Member, Struct
from ebpfasm.errors import LoadError
from tests.elf.objects import compiled
from tests.runtime import peer
from tests.runtime.samples import bpftool, descriptors

pytestmark = [pytest.mark.kernel, pytest.mark.tool("clang", "bpftool")]

# Each object, with what it asks of a kernel.
NAMES = (
    "data",
    pytest.param("calls", marks=pytest.mark.needs("addresses of functions")),
    pytest.param("maps", marks=pytest.mark.needs("bloom filters")),
    "core",
    "kconfig",
    pytest.param("kernel", marks=pytest.mark.needs("bpf_task_acquire")),
)

LDDW, MAP_KINDS = "0x18", ("0x1", "0x2")


@pytest.fixture(autouse=True)
def without_pins_of_others() -> Iterator[None]:
    """maps.c asks for a pin by name."""
    pin = Path("/sys/fs/bpf/pinned")
    pin.unlink(missing_ok=True)
    yield
    pin.unlink(missing_ok=True)


def shown(number: int) -> dict[str, Any]:
    """A program as bpftool shows it, with what must be the same whoever loads it."""
    program = bpftool("prog", "show", "id", number)
    maps = {each["id"]: each for each in bpftool("map", "show")}
    kept = ("type", "name", "tag", "gpl_compatible", "bytes_xlated")
    return {key: program[key] for key in kept} | {
        "maps": sorted(map_shown(maps[each]) for each in program.get("map_ids", [])),
        "code": code_of(number, maps),
        "lines": lines_of(number),
    }


def map_shown(found: dict[str, Any]) -> tuple[str, ...]:
    keys = ("name", "type", "flags", "bytes_key", "bytes_value", "max_entries", "frozen")
    return tuple(str(found.get(key)) for key in keys)


def code_of(number: int, maps: dict[int, dict[str, Any]]) -> list[object]:
    """Instructions as the verifier left them; a map's name in place of its id."""
    found: list[object] = []
    for each in bpftool("prog", "dump", "xlated", "id", number, "opcodes"):
        words = each["opcodes"]
        if words["code"] == LDDW and words["src_reg"] in MAP_KINDS:
            low = int.from_bytes(bytes(int(byte, 0) for byte in words["imm"][:4]), "little")
            words = {**words, "imm": [maps[low]["name"], words["imm"][4:]]}
        found.append(words)
    return found


def lines_of(number: int) -> list[str]:
    dump = bpftool("prog", "dump", "xlated", "id", number, "linum")
    return [each["src"] for each in dump if "src" in each]


@pytest.mark.parametrize("name", NAMES)
def test_programs_and_maps_are_those_that_libbpf_loads(name: str) -> None:
    path = compiled(name)
    with peer.loaded(path) as (programs, maps):
        expected = {key: shown(number) for key, number in programs.items()}
        expected_maps = [bpftool("map", "show", "id", number) for number in maps.values()]
    with ebpfasm.load(path) as ours:
        found = {key: shown(each.id) for key, each in ours.programs.items()}
        found_maps = [bpftool("map", "show", "id", each.id) for each in ours.maps.values()]
    if name == "kernel":  # older libbpf makes another call of a function that is not there
        for each in (*found.values(), *expected.values()):
            each.pop("tag")
    assert found == expected
    assert list(map(map_shown, found_maps)) == list(map(map_shown, expected_maps))
    assert all(each["lines"] for each in found.values())


# ---- what is chosen


@pytest.mark.needs("addresses of functions")
def test_optional_programs_are_loaded_where_they_are_asked_for() -> None:
    path = compiled("calls")
    with ebpfasm.load(path) as live:
        assert list(live.programs) == ["first", "second", "third"]
    with ebpfasm.load(path, programs=["optional", "first"]) as live:
        assert list(live.programs) == ["first", "optional"]
        assert live.programs["optional"].test_run(bytes(64)).retval == 1
    with pytest.raises(LoadError) as refusal:
        ebpfasm.load(path, programs=["nobody"])
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.message == "there is no program 'nobody' to be loaded"
    assert diagnostic.hint == "there are first, second, optional, third"


def test_an_unknown_section_stops_only_its_own_program() -> None:
    path = compiled("missing")
    with ebpfasm.load(path, programs=["asks_first"], kconfig={"CONFIG_NO_SUCH_OPTION": "y"}):
        pass
    assert refusal_of("unknown") == (
        "load-program-type",
        "program 'unknown': section 'nonsense/section' tells no program type",
        "return 0;",
    )


# ---- what the kernel has not


def refusal_of(program: str, **options: Any) -> tuple[str, str, str]:
    """The code, message and source line of the only diagnostic."""
    before = descriptors()
    options = {"kconfig": {"CONFIG_NO_SUCH_OPTION": True}} | options
    with pytest.raises(LoadError) as refusal:
        ebpfasm.load(compiled("missing"), programs=[program], **options)
    assert descriptors() == before
    (diagnostic,) = refusal.value.diagnostics
    line = diagnostic.span.line_text.strip() if diagnostic.span is not None else ""
    return diagnostic.code, diagnostic.message, line


def test_a_missing_field_is_explained_at_the_users_line_where_it_is_reached() -> None:
    code, message, line = refusal_of("reads_field")
    assert (code, line) == ("load-relocation", "return task->no_such_field;")
    assert message.startswith("program 'reads_field': ")
    assert "struct task_struct has no member 'no_such_field'" in message


def test_a_missing_function_is_explained_at_the_users_line_where_it_is_reached() -> None:
    assert refusal_of("calls") == (
        "load-symbol",
        "program 'calls': it calls no_such_kfunc, which this kernel does not have",
        "no_such_kfunc();",
    )


def test_strong_symbols_that_are_missing_are_named() -> None:
    assert refusal_of("calls_strong") == (
        "load-symbol", "the kernel has no function 'strong_kfunc'", "strong_kfunc();",
    )  # fmt: skip
    assert refusal_of("strong_address") == (
        "load-symbol",
        "the kernel has no symbol 'strong_symbol'",
        "return (long)&strong_symbol & 1;",
    )


def test_an_option_that_nobody_sets_is_named() -> None:
    assert refusal_of("option", kconfig={}) == (
        "load-kconfig",
        "extern 'CONFIG_NO_SUCH_OPTION' of .kconfig: the kernel's configuration does not set it",
        "",
    )


def test_a_refused_program_names_itself_its_section_and_its_line() -> None:
    with pytest.raises(LoadError) as refusal:
        ebpfasm.load(
            compiled("missing"), programs=["refused"], kconfig={"CONFIG_NO_SUCH_OPTION": "n"}
        )
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.message.startswith("the verifier refuses program 'refused': invalid bpf_cont")
    assert "program 'refused' is in section 'xdp'" in str(diagnostic)
    assert "return *(int *)((char *)ctx + 4096);" in str(diagnostic)


def test_types_of_another_kernel_can_be_given() -> None:
    types = Btf((
        Int("int", 4, 32, IntEncoding.SIGNED),
        Struct("task_struct", 8, (Member("pid", 1, 0), Member("no_such_field", 1, 32))),
    ))  # fmt: skip
    # There the field is at 4, and something is at 4 in this kernel's task_struct as well.
    with ebpfasm.load(
        compiled("missing"), programs=["reads_field"], btf=types,
        kconfig={"CONFIG_NO_SUCH_OPTION": "n"}, log_level=2,
    ) as live:  # fmt: skip
        assert re.search(r"r0 = \*\(u32 \*\)\(r1 \+4\)", live.programs["reads_field"].log)


# ---- the kernel's configuration


def test_configuration_that_is_given_comes_before_the_kernels() -> None:
    given: dict[str, str | int | bool] = {
        "CONFIG_HZ": 4711,
        "CONFIG_NO_SUCH_CHAR": "m",
        "CONFIG_NO_SUCH_STRING": '"text"',
    }
    with ebpfasm.load(compiled("kconfig"), kconfig=given) as live:
        found = {name: each.value for name, each in live.variables.items()}
    assert found["CONFIG_HZ"] == 4711
    assert found["CONFIG_NO_SUCH_CHAR"] == ord("m")
    assert found["CONFIG_NO_SUCH_STRING"] == b"text"
    assert found["CONFIG_NO_SUCH_LONG"] == 0
    assert found["CONFIG_BPF"] is True


def test_what_a_user_sets_comes_before_everything() -> None:
    spec = ebpfasm.open(compiled("kconfig"))
    spec.variables["CONFIG_HZ"].value = 99
    with ebpfasm.load(spec, kconfig={"CONFIG_HZ": 100}) as live:
        assert live.variables["CONFIG_HZ"].value == 99


# ---- first contents


@pytest.mark.needs("bloom filters")
def test_slots_hold_maps_and_programs_from_the_start() -> None:
    with ebpfasm.load(compiled("maps")) as live:

        def held(name: str) -> dict[int, int]:
            rows = bpftool("map", "dump", "id", live.maps[name].id)
            return {word(each["key"]): word(value_of(each)) for each in rows if has_value(each)}

        inner = {name: live.maps[name].id for name in ("inner_one", "inner_two")}
        tails = {name: live.programs[name].id for name in ("tail_one", "tail_two")}
        assert held("outer") == {0: inner["inner_one"], 3: inner["inner_two"]}
        assert held("jumps") == {1: tails["tail_one"], 2: tails["tail_two"]}


def has_value(row: dict[str, Any]) -> bool:
    return "value" in row and isinstance(row["value"], list)


def value_of(row: dict[str, Any]) -> list[str]:
    found: list[str] = row["value"]
    return found


def word(content: list[str]) -> int:
    return int.from_bytes(bytes(int(each, 0) for each in content), sys.byteorder)


# ---- objects of other kinds


def test_objects_without_debug_information_load_too() -> None:
    with ebpfasm.load(compiled("live", "-g0")) as live:
        assert live.variables["table"].value == b"\x0a\0\0\0\x14\0\0\0\x1e\0\0\0"
        assert live.programs["count"].test_run(bytes(64)).retval == 2
    with ebpfasm.load(compiled("legacy", "-g0")) as live:
        assert list(live.programs) == ["main_program"]


def test_objects_for_the_other_byte_order_are_read_and_not_loaded() -> None:
    other, word = ("bpfeb", "big") if sys.byteorder == "little" else ("bpfel", "little")
    spec = ebpfasm.open(compiled("calls", target=other))
    with pytest.raises(LoadError) as refusal:
        ebpfasm.load(spec)
    assert refusal.value.diagnostics[0].message == (
        f"the object is for a {word}-endian machine; this one is {sys.byteorder}-endian"
    )


@pytest.mark.parametrize("name", ["live", *NAMES])
def test_nothing_stays_open_after_a_whole_life(name: str) -> None:
    before = descriptors()
    with ebpfasm.load(compiled(name)) as live:
        for variable in live.variables.values():
            _ = variable.value
    assert descriptors() == before
