"""Maps of the machine: the live ones' interface, and an index in C that does what a dict does."""

from __future__ import annotations

import random
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import World
from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.maps.slots import DictIndex
from ebpfasm.errors import EncodeError, LoadError, VmError
from ebpfasm.ir import MapSpec
from ebpfasm.native import native_core
from tests.support import need_native
from tests.vm.engines import ENGINES


def one(kind: str, key: int = 4, value: int = 8, entries: int = 4, **more: Any) -> VmMap:
    spec = MapSpec("m", kind, key, value, entries, **more)
    return World([spec], cpus=2).maps["m"]


def test_an_array_has_all_its_elements_from_the_start() -> None:
    made = one("array")
    assert (len(made), dict(made)) == (4, {0: 0, 1: 0, 2: 0, 3: 0})
    made[2] = 7
    made.update({3: 9})
    assert made.snapshot() == {0: 0, 1: 0, 2: 7, 3: 9}
    with pytest.raises(KeyError):
        made[4]
    with pytest.raises(LoadError, match=r"cannot write map 'm': 9 is past its end"):
        made[9] = 1
    with pytest.raises(LoadError, match="elements of an array are never deleted"):
        del made[1]


def test_a_hash_table_is_a_mapping() -> None:
    made = one("hash")
    made[5] = 6
    made.put(7, 8, 1)
    assert (5 in made, made.get(6), list(made), made.pop(7)) == (True, None, [5, 7], 8)
    with pytest.raises(LoadError, match="the key is there already"):
        made.put(5, 1, 1)
    with pytest.raises(LoadError, match="the key is not there"):
        made.put(9, 1, 2)
    with pytest.raises(EncodeError, match=r"value of map 'm' is an integer from 0 to"):
        made[5] = -1
    made.update({key: key for key in range(10, 13)})
    with pytest.raises(LoadError, match="it is full; it has room for 4 entries"):
        made[20] = 1
    made.clear()
    assert len(made) == 0


def test_values_for_each_processor_are_tuples() -> None:
    made = one("percpu_hash", value=4)
    made[1] = (5, 6)
    assert made[1] == (5, 6)
    made.world.cpu = 1
    address = made.lookup_elem((1).to_bytes(4, "little"))
    assert made.world.memory.read(address, 4) == (6).to_bytes(4, "little")


def test_an_lru_table_forgets_what_was_used_least_recently() -> None:
    made = one("lru_hash", entries=2)
    made[1] = made[2] = 5
    made.lookup_elem((1).to_bytes(4, "little"))
    made[3] = 5
    assert set(made) == {1, 3}


def test_queues_and_stacks_keep_their_order() -> None:
    for kind, expected in (("queue", {0: 5, 1: 6}), ("stack", {0: 6, 1: 5})):
        made = one(kind, key=0)
        made[b""] = 5
        made[b""] = 6
        assert (made.snapshot(), len(made)) == (expected, 2)
        assert made[b""] == expected[0]


def test_maps_of_maps_make_inner_ones_of_contents() -> None:
    inner = MapSpec("i", "hash", 4, 4, 2)
    made = one("array_of_maps", value=4, inner=inner)
    made[1] = {7: 8}
    assert (made.snapshot(), made[1][7]) == ({1: {7: 8}}, 8)
    with pytest.raises(EncodeError, match="the value of map 'm' is a map; 5 was given"):
        made[0] = 5


def test_a_map_that_cannot_be_is_told_with_its_place() -> None:
    with pytest.raises(VmError, match=r"has no maps of type insn_array"):
        one("insn_array", 4, 16)
    with pytest.raises(VmError, match=r"a key of array has 4 bytes, not 8"):
        one("array", 8)
    with pytest.raises(VmError, match=r"keeps maps of up to 1073741824 bytes"):
        one("array", entries=1 << 31)


def test_the_native_index_gives_out_the_slots_that_a_dict_does() -> None:
    need_native()
    from ebpfasm.runtime.vm.maps import NativeIndex

    choose = random.Random(5)
    for size in (1, 4, 8, 13, 40):
        plain, native = DictIndex(), NativeIndex(native_core(), size)
        keys = list({choose.randbytes(size) for _ in range(400)})
        for _ in range(4000):
            key = choose.choice(keys)
            assert native.find(key) == plain.find(key)
            if plain.find(key) < 0:
                assert native.insert(key) == plain.insert(key)
            elif choose.random() < 0.6:
                assert native.remove(key) == plain.remove(key)
            assert len(native) == len(plain)
        assert native.items() == plain.items()


COUNT = """
.license "GPL"
.map h, {kind}, key=u32, value=u64, max_entries=1000
.section xdp
count:
    r7 = *(u32 *)(r1 + 0)
    w1 = *(u32 *)(r7 + 0)
    *(u32 *)(r10 - 4) = w1
    r1 = h ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem
    if r0 != 0 goto there
    *(u64 *)(r10 - 16) = 1
    r1 = h ll; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0
    call bpf_map_update_elem
    r0 = 1
    exit
there:
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    r0 = 2
    if r1 != 3 goto out
    r1 = h ll; r2 = r10; r2 += -4
    call bpf_map_delete_elem
    r0 = 3
out:
    exit
"""


@pytest.mark.parametrize("kind", ["hash", "lru_hash", "percpu_hash"])
def test_programs_fill_and_empty_tables_alike_in_both_engines(kind: str) -> None:
    need_native()
    program = ebpfasm.assemble(COUNT.replace("{kind}", kind)).programs["count"]
    choose = random.Random(6)
    packets = [choose.randrange(800).to_bytes(4, "little") + bytes(60) for _ in range(3000)]
    results = []
    for engine in ENGINES:
        machine = ebpfasm.virtual_machine(program, native=engine == "native", cpus=2)
        results.append((machine.verdicts(packets), machine.snapshot()))
    assert results[0] == results[1]
    machine = ebpfasm.virtual_machine(program, cpus=2)
    from ebpfasm.runtime.running.packets import run_packets

    batch = run_packets(program, packets, engine="vm", cpus=2)
    assert (list(batch.verdicts), batch.maps) == results[0]


def test_a_world_can_be_shared_by_programs() -> None:
    program = ebpfasm.assemble(COUNT.replace("{kind}", "hash")).programs["count"]
    first = ebpfasm.virtual_machine(program)
    second = ebpfasm.virtual_machine(program, world=first.world)
    assert [each.execute(bytes(64)) for each in (first, second, first)] == [1, 2, 3]
    assert first.maps["h"] is second.maps["h"]


def test_contents_for_a_map_that_is_not_there_are_refused() -> None:
    program = ebpfasm.assemble(COUNT.replace("{kind}", "hash")).programs["count"]
    with pytest.raises(VmError) as raised:
        ebpfasm.run(program, engine="vm", maps={"x": {1: 2}})
    assert str(raised.value) == (
        "error[vm-map]: there is no map 'x'\n   hint: the program's maps: h"
    )


def test_machines_that_share_a_world_have_frames_of_their_own() -> None:
    text = """.map r, ringbuf, max_entries=4096
    .section xdp
    m: r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve
    if r0 == 0 goto out
    r6 = r0
    r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve
    r7 = r0; r1 = r6; r2 = 0; call bpf_ringbuf_submit
    r1 = r7; r2 = 0; call bpf_ringbuf_discard
    call f
    out: exit
    .text
    f: *(u64 *)(r10 - 8) = 5; r0 = *(u64 *)(r10 - 8); exit"""
    program = ebpfasm.assemble(text).programs["m"]
    first = ebpfasm.virtual_machine(program)
    assert first.execute(bytes(64)) == 5
    assert ebpfasm.virtual_machine(program, world=first.world).execute(bytes(64)) == 5


@pytest.mark.parametrize("kind", ["hash", "array", "lpm_trie", "queue", "ringbuf", "devmap"])
def test_numbers_that_no_map_can_have_are_refused(kind: str) -> None:
    for sizes in ((-1, 8, 4), (4, -8, 4), (4, 8, -1), (4, 8, 0), (4, 8, 1 << 40), (1 << 20, 8, 4)):
        with pytest.raises((VmError, EncodeError)):
            one(kind, *sizes)
