"""`ebpfasm inspect`: what it tells of an object, in words and as JSON."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebpfasm.cli import group
from tests.elf.objects import compiled
from tests.support import find_tool

pytestmark = pytest.mark.tool("clang")


def inspect(path: Path, *options: str) -> str:
    done = CliRunner().invoke(group, ["inspect", str(path), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def as_json(path: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(inspect(path, "--json", *options))
    return found


def test_programs_maps_and_variables_are_told_in_words() -> None:
    lines = inspect(compiled("data")).splitlines()
    assert re.search(r"data.o: license GPL, little-endian, \d\d types$", lines[0])
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert re.search(r"uses_all tc sched_cls \d+ slots calls previous; uses .data,", text)
    assert ".rodata array key bytes (4), value .rodata (32) 1 entries flags 0x480, frozen" in text
    assert 'limits .rodata+0x8 struct pair global = {"first": 1, "second": -2}' in text
    assert "struct pair { char first; long second; };" in text.replace("\n", " ")


def test_json_has_maps_with_every_attribute() -> None:
    maps = {each["name"]: each for each in as_json(compiled("maps"))["maps"]}
    assert maps["bloom"]["map_extra"] == 5
    assert maps["pinned"]["pinning"] == "by_name"
    assert maps["pinned"]["numa_node"] == 0
    assert maps["outer"]["inner"]["type"] == "array"
    assert maps["outer"]["initial"] == {"0": "inner_one", "3": "inner_two"}
    assert maps["jumps"]["initial"] == {"1": "tail_one", "2": "tail_two"}
    by_key = maps["by_key"]
    assert (by_key["key"], by_key["value"]) == ("struct key", "struct value")


def test_relocations_are_listed_by_program() -> None:
    found = as_json(compiled("kernel"))["relocations"]
    assert [(each["kind"], each["target"]) for each in found][:2] == [
        ("kernel function", "bpf_task_acquire"),
        ("kernel function", "bpf_task_release"),
    ]
    assert all(each["place"].partition(":")[0].endswith("kernel.c") for each in found)
    of_one = as_json(compiled("calls"), "--prog", "third")
    assert [each["name"] for each in of_one["programs"]] == ["third"]
    assert {each["program"] for each in of_one["relocations"]} == {"third"}


def test_core_records_are_tried_against_given_types(tmp_path: Path) -> None:
    """Against the object's own types all is found, but for what the object only asks about."""
    types = tmp_path / "types.btf"
    copy = find_tool("llvm-objcopy")
    subprocess.run(
        [copy, f"--dump-section=.BTF={types}", str(compiled("core")), str(tmp_path / "out.o")],
        check=True,
    )
    found = as_json(compiled("core"), "--btf", str(types))["core"]
    assert len(found) == 10
    assert all(each["resolves"] for each in found)
    values = {each["what"]: each["value"] for each in found}
    assert values["the offset of struct task_struct.tgid"] == 4
    assert values["the size of struct task_struct.comm"] == 16


@pytest.mark.kernel
def test_core_records_are_tried_against_the_running_kernel() -> None:
    found = as_json(compiled("core"))["core"]
    answers = {each["what"]: each["value"] for each in found}
    assert answers["whether there is struct no_such_struct"] == 0
    assert answers["the offset of struct task_struct.tgid"] > 4
    assert "missing" not in inspect(compiled("core"))


def test_a_file_that_is_no_object_is_a_diagnostic(tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(b"\x7fELF")
    done = CliRunner().invoke(group, ["inspect", str(path)])
    assert "damaged: it ends inside its header" in str(done.exception)
