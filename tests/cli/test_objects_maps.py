"""`ebpfasm map`: elements read and written on the command line, with bpftool as second reader."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack
from typing import Any

import pytest

import ebpfasm as api
from ebpfasm import Map, MapSpec
from ebpfasm.btf import types as t
from ebpfasm.btf.codec import encode
from ebpfasm.btf.types import Btf
from tests import kernel
from tests.cli.support import Command, Outcome
from tests.cli.test_objects import as_json, mistake
from tests.runtime.samples import bpftool, passing

pytestmark = pytest.mark.kernel

BPFFS = Path("/sys/fs/bpf")
HASH = 1  # BPF_MAP_TYPE_HASH
TYPES = Btf((
    t.Int("unsigned int", 4, 32),
    t.Int("char", 1, 8),
    t.Array(2, 1, 12),
    t.Struct("peer", 16, (t.Member("hits", 1, 0), t.Member("name", 3, 32))),
))  # fmt: skip


@contextmanager
def created(**changes: Any) -> Iterator[Map]:
    given = {
        "name": "cli_test", "type": "hash", "key_size": 4, "value_size": 8, "max_entries": 8,
        **changes,
    }  # fmt: skip
    with Map.create(MapSpec(**given)) as made:
        yield made


@pytest.mark.tool("bpftool")
def test_a_map_is_shown_as_bpftool_shows_it(ebpfasm: Command) -> None:
    with created(key="u32", value="u64") as made:
        shown = as_json(ebpfasm("map", "show", made.id, "--json"))
        theirs = bpftool("map", "show", "id", made.id)
        common = theirs.keys() & shown.keys()
        assert {name: shown[name] for name in common} == {name: theirs[name] for name in common}
        assert theirs.keys() - shown.keys() <= {"bytes_memlock", "pids"}
        listed = as_json(ebpfasm("map", "list", "--json"))
        assert [each["name"] for each in listed if each["id"] == made.id] == ["cli_test"]
        lines = ebpfasm("map", "list").out.splitlines()
        assert any(line.split()[:3] == [str(made.id), "hash", "cli_test"] for line in lines)


@pytest.mark.tool("bpftool")
def test_numbers_are_set_read_and_deleted(ebpfasm: Command) -> None:
    with created(key="u32", value="s64") as made:
        assert ebpfasm("map", "set", made.id, 7, -3) == Outcome(0, "", "")
        assert ebpfasm("map", "set", "name", "cli_test", "0x10", "hex:2a00000000000000").status == 0
        dumped = bpftool("map", "dump", "id", made.id)
        raw = {
            bytes(int(byte, 16) for byte in each["key"]): bytes(
                int(byte, 16) for byte in each["value"]
            )
            for each in dumped
        }
        assert raw == {
            made._key.pack(7): made._value.pack(-3),
            made._key.pack(16): b"\x2a" + bytes(7),
        }
        assert ebpfasm("map", "get", made.id, 7).out == "-3\n"
        assert as_json(ebpfasm("map", "get", made.id, "7", "--json")) == -3
        assert ebpfasm("map", "delete", made.id, 7).status == 0
        assert dict(made) == {16: 42}
        assert "has no key 7" in mistake(ebpfasm("map", "get", made.id, 7))
        assert "has no key 7" in mistake(ebpfasm("map", "delete", made.id, 7))


@pytest.mark.tool("bpftool")
def test_structs_are_json_by_their_members_names(ebpfasm: Command) -> None:
    with (
        kernel.closing(kernel.btf_load(encode(TYPES, sys.byteorder))) as btf,
        kernel.closing(kernel.map_create(HASH, 4, 16, 8, btf=btf, ids=(1, 4))) as fd,
    ):
        number = kernel.map_id(fd)
        assert ebpfasm("map", "set", number, 1, '{"hits": 5, "name": "eve"}').status == 0
        assert kernel.map_lookup(fd, pack("=I", 1), 16) == pack("=I12s", 5, b"eve")
        assert as_json(ebpfasm("map", "get", number, 1, "--json")) == {"hits": 5, "name": "eve"}
        ours = as_json(ebpfasm("map", "dump", number, "--json"))
        assert ours == [{"key": 1, "value": {"hits": 5, "name": "eve"}}]
        theirs = bpftool("map", "dump", "id", number)
        assert theirs[0]["formatted"]["value"] == ours[0]["value"]
        said = mistake(ebpfasm("map", "set", number, 1, '{"hots": 5, "name": "eve"}'))
        assert "hots" in said
        assert "is no JSON" in mistake(ebpfasm("map", "set", number, 1, '{"hits": }'))


def test_flags_say_whether_an_element_may_or_must_be_there(ebpfasm: Command) -> None:
    with created() as made:
        assert "not there" in mistake(ebpfasm("map", "set", made.id, 1, 1, "--flag", "exist"))
        assert ebpfasm("map", "set", made.id, 1, 1, "--flag", "noexist").status == 0
        assert "already" in mistake(ebpfasm("map", "set", made.id, 1, 2, "--flag", "noexist"))
        assert dict(made) == {1: 1}


def test_values_for_each_cpu_are_a_list(ebpfasm: Command) -> None:
    with created(type="percpu_hash") as made:
        from ebpfasm.runtime.cpus import possible_cpus

        values = [10 + cpu for cpu in range(possible_cpus())]
        assert ebpfasm("map", "set", made.id, 3, json.dumps(values)).status == 0
        assert as_json(ebpfasm("map", "get", made.id, 3, "--json")) == values
        assert "one for each possible CPU" in mistake(ebpfasm("map", "set", made.id, 3, 1))


def test_networks_are_keys_of_a_trie(ebpfasm: Command) -> None:
    with created(type="lpm_trie", key_size=8, flags=1) as made:
        assert ebpfasm("map", "set", made.id, "10.0.0.0/8", 1).status == 0
        assert ebpfasm("map", "get", made.id, "10.1.2.3").out == "1\n"
        assert as_json(ebpfasm("map", "dump", made.id, "--json")) == [
            {"key": "10.0.0.0/8", "value": 1}
        ]


@pytest.mark.tool("bpftool")
def test_queues_are_pushed_and_popped(ebpfasm: Command) -> None:
    with created(type="queue", key_size=0) as made:
        for number in (1, 2):
            assert ebpfasm("map", "push", made.id, number).status == 0
        assert bpftool("map", "peek", "id", made.id)["value"][0] == "0x01"
        assert ebpfasm("map", "peek", made.id).out == "1\n"
        assert ebpfasm("map", "pop", made.id).out == "1\n"
        assert as_json(ebpfasm("map", "pop", made.id, "--json")) == 2
        assert "is empty" in mistake(ebpfasm("map", "pop", made.id))
        assert "no keys to walk" in mistake(ebpfasm("map", "dump", made.id))
    with created() as made:
        assert "cannot push" in mistake(ebpfasm("map", "push", made.id, 1))
        assert "cannot pop" in mistake(ebpfasm("map", "pop", made.id))


@pytest.mark.tool("bpftool")
def test_programs_and_maps_go_into_maps_of_them_by_id(ebpfasm: Command) -> None:
    with api.load(passing()) as loaded, created(type="prog_array", value_size=4) as jumps:
        program = loaded.programs["pass"]
        assert ebpfasm("map", "set", jumps.id, 2, f"id:{program.id}").status == 0
        theirs = bpftool("map", "lookup", "id", jumps.id, "key", *pack("=I", 2))
        assert (
            int.from_bytes(bytes(int(byte, 16) for byte in theirs["value"]), "little") == program.id
        )
        assert "names no object" in mistake(ebpfasm("map", "set", jumps.id, 2, 5))
        assert ebpfasm("map", "delete", jumps.id, 2).status == 0


def test_a_map_is_created_and_pinned(ebpfasm: Command) -> None:
    path = BPFFS / "ebpfasm_cli_made"
    try:
        words = ["--type", "hash", "--key", "u32", "--value", "8", "--entries", "4"]
        assert ebpfasm("map", "create", path, *words) == Outcome(0, "", "")
        shown = as_json(ebpfasm("map", "show", path, "--json"))
        assert (shown["name"], shown["bytes_key"], shown["bytes_value"]) == (
            "ebpfasm_cli_mad",
            4,
            8,
        )
        assert ebpfasm("map", "set", path, 1, 2).status == 0
        assert ebpfasm("map", "dump", path).out == "key  value\n1    2\n"
        assert ebpfasm("map", "delete", path, 1).status == 0
        assert ebpfasm("map", "dump", path).out == "the map is empty\n"
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--type", "hush"], "did you mean hash?"),
        (["--type", "hash", "--value", "8"], "how large is a key?"),
        (["--type", "hash", "--key", "u31", "--value", "8"], "'u31' is no size"),
        (["--type", "hash", "--key", "4", "--value", "8", "--flags", "x"], "'x' is no number"),
        (["--type", "hash", "--key", "4", "--value", "8"], "create map"),
    ],
)
def test_a_map_that_cannot_be_made_is_one_sentence(
    ebpfasm: Command, words: list[str], says: str
) -> None:
    path = BPFFS / "ebpfasm_cli_never"
    assert says in mistake(ebpfasm("map", "create", path, *words))
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["get"], "which key?"),
        (["set", 1], "which key and value?"),
        (["set", 1, 2, 3], "what is '3' for?"),
        (["set", "hex:0", 1], "is not hexadecimal"),
        (["set", 1 << 32, 1], "from 0 to 4294967295"),
        (["set", "abc", 1], "3 bytes were given"),
        (["push"], "which value?"),
    ],
)
def test_a_mistake_is_one_sentence(ebpfasm: Command, words: list[Any], says: str) -> None:
    with created() as made:
        verb, *rest = words
        assert says in mistake(ebpfasm("map", verb, made.id, *rest))
        assert dict(made) == {}
