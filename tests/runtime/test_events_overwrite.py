"""Ring buffers whose newest records overwrite the oldest (Linux 6.19)."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

import ebpfasm
from ebpfasm import Collection, LoadError, RingBuffer
from ebpfasm.btf.types import Struct
from ebpfasm.runtime import kernel_btf
from tests.runtime.producers import SEND, count_up, numbers, send
from tests.runtime.samples import bpftool
from tests.support import need_native

pytestmark = [pytest.mark.kernel, pytest.mark.needs("overwritten rings")]

SIZE = 4096
STEP = 24  # bytes that a record of count_up takes


@pytest.fixture(autouse=True)
def native() -> None:
    need_native()


@pytest.fixture
def loaded() -> Iterator[Collection]:
    text = SEND.replace("{size}", f"{SIZE}, flags=BPF_F_RB_OVERWRITE")
    with ebpfasm.load(ebpfasm.assemble(text, name="send.s")) as loaded:
        yield loaded


@pytest.mark.tool("bpftool")
def test_the_newest_records_are_kept_and_the_lost_ones_counted(loaded: Collection) -> None:
    shown = bpftool("map", "show", "id", loaded.maps["ring"].id)
    assert shown["flags"] == 1 << 19
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        assert count_up(loaded.programs["count_up"], 0, 1000) == 1000
        kept = SIZE // STEP
        assert ring.available == kept * STEP
        assert ring.read() == numbers(range(1000 - kept, 1000))
        assert ring.lost_bytes == (1000 - kept) * STEP
        assert ring.available == 0
        assert count_up(loaded.programs["count_up"], 0, 5) == 5
        assert ring.read() == numbers(range(5))
        assert ring.lost_bytes == (1000 - kept) * STEP


def test_records_of_any_length_and_discarded_ones_are_overwritten(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        for number in range(200):
            assert send(loaded.programs["send"], number, number % 64) == 0
        found = ring.read()
        assert found == [number.to_bytes(8, "little")[:1] * 0 if not number % 64
                         else (number.to_bytes(8, "little") * 8)[: number % 64]
                         for number in range(200 - len(found), 200)]  # fmt: skip
        before = ring.lost_bytes
        assert before > 0
        loaded.programs["every_other"].test_run(bytes(14), repeat=100)
        evens = [int.from_bytes(each, "little") for each in ring.read()]
        assert evens == ([0, 2, 4, 6, 8] * 100)[-len(evens) :]
        assert len(evens) >= SIZE // 16 // 2 - 1
        assert ring.lost_bytes > before


def test_an_array_is_taken_out_of_a_ring_that_overwrites(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        count_up(loaded.programs["count_up"], 0, 500)
        array = ring.read_array()
        assert array["f0"].tolist() == list(range(500 - SIZE // STEP, 500))


def test_a_waiting_reader_is_woken(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        assert select.select([ring], [], [], 0)[0] == []
        count_up(loaded.programs["count_up"], 0, 1000)
        assert select.select([ring], [], [], 10)[0] == [ring]
        ring.read()
        assert select.select([ring], [], [], 0)[0] == []
        sender = threading.Thread(target=count_up, args=(loaded.programs["count_up"], 7, 1))
        sender.start()
        assert next(iter(ring)) == (7, -14)
        sender.join()


def test_a_reader_beside_a_writer_gets_whole_records_in_order(loaded: Collection) -> None:
    total = 20 * 1000
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        program = loaded.programs["count_up"]

        def fill() -> None:
            for first in range(0, total, 1000):
                count_up(program, first, 1000)

        writer = threading.Thread(target=fill)
        writer.start()
        found: list[tuple[int, int]] = []
        while writer.is_alive() or ring.available:
            found += ring.read()
        writer.join()
        assert all(twice == -2 * number for number, twice in found)
        order = [number for number, _ in found]
        assert order == sorted(set(order))
        assert order[-1] == total - 1
        assert len(found) * STEP + ring.lost_bytes == total * STEP


def test_the_positions_are_where_the_kernel_has_them() -> None:
    types = kernel_btf.vmlinux()
    (found,) = types.find(Struct, "bpf_ringbuf")
    ring = types.get(found)
    assert isinstance(ring, Struct)
    places = {each.name: each.offset_bits // 64 for each in ring.members}
    assert places["overwrite_pos"] - places["producer_pos"] == 2


def test_only_rings_that_programs_fill_overwrite() -> None:
    text = ".map ring, user_ringbuf, max_entries=4096, flags=BPF_F_RB_OVERWRITE"
    with pytest.raises(LoadError, match="ring"), ebpfasm.load(ebpfasm.assemble(text)):
        pass
