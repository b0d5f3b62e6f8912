"""`ebpfasm prog`, `link` and `btf` beside bpftool: both read the same kernel."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ebpfasm as api
from ebpfasm import Collection, Program
from ebpfasm.runtime.network.veth import VethPair
from tests.cli.support import Command, Outcome
from tests.runtime.samples import bpftool, counting
from tests.support import find_tool

pytestmark = pytest.mark.kernel

BPFFS = Path("/sys/fs/bpf")


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with api.load(counting("hash")) as collection:
        yield collection


@pytest.fixture
def program(loaded: Collection) -> Program:
    return loaded.programs["count"]


@pytest.fixture
def pin(program: Program) -> Iterator[Path]:
    path = BPFFS / f"ebpfasm_test_{program.id}"
    yield path
    path.unlink(missing_ok=True)


def as_json(outcome: Outcome) -> Any:
    assert (outcome.status, outcome.err) == (0, "")
    return json.loads(outcome.out)


def mistake(outcome: Outcome) -> str:
    """What a refused command says: one sentence, and nothing else is printed."""
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("error[")
    return outcome.err


# ---- programs


@pytest.mark.tool("bpftool")
def test_a_program_is_shown_as_bpftool_shows_it(ebpfasm: Command, program: Program) -> None:
    shown = as_json(ebpfasm("prog", "show", program.id, "--json"))
    theirs = bpftool("prog", "show", "id", program.id)
    assert abs(shown.pop("loaded_at") - theirs["loaded_at"]) <= 1
    assert shown == {**shown, **{name: theirs[name] for name in theirs.keys() & shown.keys()}}
    assert theirs.keys() - shown.keys() <= {"loaded_at", "bytes_memlock", "orphaned", "pids"}
    listed = as_json(ebpfasm("prog", "list", "--json"))
    assert [each["name"] for each in listed if each["id"] == program.id] == ["count"]


@pytest.mark.tool("bpftool")
def test_every_program_that_bpftool_lists_is_listed(ebpfasm: Command, program: Program) -> None:
    before = {each["id"] for each in bpftool("prog", "list")}
    listed = {each["id"] for each in as_json(ebpfasm("prog", "list", "--json"))}
    after = {each["id"] for each in bpftool("prog", "list")}
    assert before & after <= listed
    assert program.id in listed
    table = ebpfasm("prog", "list").out.splitlines()
    assert table[0].split() == ["id", "type", "name", "tag", "bytes_xlated", "map_ids", "btf_id"]
    assert any(line.split()[:3] == [str(program.id), "xdp", "count"] for line in table)


@pytest.mark.parametrize("way", ["id", "name", "pinned", "tag"])
def test_programs_are_chosen_in_four_ways(
    ebpfasm: Command, program: Program, pin: Path, way: str
) -> None:
    ebpfasm("prog", "pin", program.id, pin)
    ways: dict[str, list[object]] = {
        "id": ["id", program.id],
        "name": ["name", "count"],
        "pinned": [pin],
        "tag": ["tag", program.info().tag],
    }
    words = ways[way]
    shown = as_json(ebpfasm("prog", "show", *words, "--json"))
    assert (shown["name"], shown["tag"]) == ("count", program.info().tag)


@pytest.mark.tool("bpftool")
def test_a_pinned_program_is_bpftools_too(ebpfasm: Command, program: Program, pin: Path) -> None:
    assert ebpfasm("prog", "pin", "id", program.id, pin) == Outcome(0, "", "")
    assert bpftool("prog", "show", "pinned", pin)["id"] == program.id


@pytest.mark.tool("bpftool")
def test_dumps_are_the_bytes_that_bpftool_dumps(
    ebpfasm: Command, program: Program, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert ebpfasm("prog", "dump", program.id, "--raw", "-o", ours).status == 0
    bpftool("prog", "dump", "xlated", "id", program.id, "file", theirs)
    assert ours.read_bytes() == theirs.read_bytes()
    if program.info().jited_length:
        assert ebpfasm("prog", "dump", program.id, "--jited", "-o", ours).status == 0
        assert len(ours.read_bytes()) == bpftool("prog", "show", "id", program.id)["bytes_jited"]


def test_a_dump_is_what_disasm_writes(ebpfasm: Command, program: Program) -> None:
    dumped = ebpfasm("prog", "dump", program.id, "--source")
    assert dumped == ebpfasm("disasm", "--id", program.id, "--source")
    assert dumped.out.startswith(f"# program {program.id}: count, xdp")
    assert as_json(ebpfasm("prog", "dump", program.id, "--json"))["name"] == "count"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prog", "show"], "which program?"),
        (["prog", "show", "id"], "'id' stands alone"),
        (["prog", "show", "id", "x"], "'x' is no id"),
        (["prog", "show", "0"], "there is no program 0"),
        (["prog", "show", "4294967295"], "there is no program 4294967295 in the kernel"),
        (["prog", "show", "name", "no_such_name"], "there is no program 'no_such_name'"),
        (["prog", "show", "/sys/fs/bpf/no/such"], "cannot open '/sys/fs/bpf/no/such'"),
        (["prog", "show", "1", "2"], "what is '2' for?"),
        (["prog", "dump", "1", "--raw", "--json"], "three outputs"),
        (["prog", "pin", "1"], "where is it to be pinned?"),
        (["map", "show", "tag", "00"], "maps have no tags"),
        (["map", "show", "no_such_map"], "there is no map 'no_such_map' in the kernel"),
        (["link", "show", "name", "x"], "links have no names"),
        (["link", "show", "4294967295"], "there is no link 4294967295 in the kernel"),
        (["btf", "dump", "4294967295"], "there is no BTF 4294967295 in the kernel"),
        (["btf", "dump", "no_such_file"], "no_such_file"),
        (["btf", "dump", __file__], f"{__file__}: BTF begins with 0xeb9f"),
        (["btf", "dump", "vmlinux", "--type", "no such"], "there is no type 'no such'"),
    ],
)
def test_a_mistake_is_one_sentence(ebpfasm: Command, words: list[str], says: str) -> None:
    assert says in mistake(ebpfasm(*words))


# ---- links


@pytest.mark.tool("bpftool")
def test_links_are_shown_and_detached(ebpfasm: Command, program: Program, pin: Path) -> None:
    with VethPair() as pair, pair.near.entered(), program.attach_xdp("veth0", via="link") as link:
        shown = as_json(ebpfasm("link", "show", link.id, "--json"))
        theirs = next(each for each in bpftool("link", "list") if each["id"] == link.id)
        assert shown == {**shown, **{key: theirs[key] for key in ("id", "type", "prog_id")}}
        assert shown["devname"] == "veth0"
        listed = as_json(ebpfasm("link", "list", "--json"))
        assert shown in listed
        assert re.search(
            rf"^{link.id} +xdp +{program.id} ", ebpfasm("link", "list").out, re.MULTILINE
        )
        assert ebpfasm("link", "pin", link.id, pin).status == 0
        assert as_json(ebpfasm("link", "show", pin, "--json"))["id"] == link.id
        assert ebpfasm("link", "detach", pin) == Outcome(0, "", "")
        assert link.info().ifindex == 0


# ---- BTF


@pytest.mark.tool("bpftool")
@pytest.mark.needs("names of BTF")
def test_btf_is_listed_as_bpftool_lists_it(ebpfasm: Command, program: Program) -> None:
    number = program.info().btf_id
    ours = next(each for each in as_json(ebpfasm("btf", "list", "--json")) if each["id"] == number)
    theirs = next(each for each in bpftool("btf", "list") if each["id"] == number)
    assert {name: ours[name] for name in theirs.keys() & ours.keys()} == {
        name: theirs[name] for name in theirs.keys() & ours.keys()
    }
    assert ours["prog_ids"] == [program.id]
    first = ebpfasm("btf", "list").out.splitlines()[1].split()
    assert first[:2] == ["1", "vmlinux"]


@pytest.mark.tool("bpftool")
@pytest.mark.needs("names of BTF")
def test_types_are_dumped_as_bpftool_dumps_them(ebpfasm: Command, program: Program) -> None:
    number = program.info().btf_id
    ours = as_json(ebpfasm("btf", "dump", "id", number, "--json"))["types"]
    theirs = bpftool("btf", "dump", "id", number)["types"]
    assert [(each["id"], each["kind"]) for each in ours] == [
        (each["id"], each["kind"]) for each in theirs
    ]
    assert [each.get("name") or "(anon)" for each in ours] == [each["name"] for each in theirs]
    lines = ebpfasm("btf", "dump", number).out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.split()[:2] for head in heads] == [
        [f"[{each['id']}]", each["kind"]] for each in ours
    ]


def test_one_type_of_the_kernel_is_dumped_by_its_name(ebpfasm: Command) -> None:
    found = as_json(ebpfasm("btf", "dump", "vmlinux", "--type", "xdp_md", "--json"))["types"]
    assert [each["kind"] for each in found] == ["STRUCT"]
    assert [member["name"] for member in found[0]["members"]][:2] == ["data", "data_end"]


@pytest.mark.tool("clang")
def test_a_type_is_dumped_as_c_that_a_compiler_takes(ebpfasm: Command, tmp_path: Path) -> None:
    outcome = ebpfasm("btf", "dump", "vmlinux", "--type", "xdp_md", "--c")
    assert (outcome.status, outcome.err) == (0, "")
    source = tmp_path / "types.c"
    source.write_text(outcome.out + '_Static_assert(sizeof(struct xdp_md) == 24, "");\n')
    subprocess.run([find_tool("clang"), "-fsyntax-only", source], check=True)
    assert "two outputs" in mistake(ebpfasm("btf", "dump", "vmlinux", "--c", "--json"))
