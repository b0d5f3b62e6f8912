"""Programs that send records, driven by test runs: what comes out is known to the byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import ebpfasm
from ebpfasm import Collection, Program

SIZE = 1 << 16  # of the rings

# A frame says what to send: a number, a length up to 63, flags. What is sent is the number over and
# over, from the stack; r0 is what the helper returned.
SEND = """
.license "GPL"
.map ring, ringbuf, max_entries={size}
.map other, ringbuf, max_entries={size}
.section xdp
send:
    r6 = *(u32 *)(r1 + xdp_md.data)
    r7 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = r6
    r2 += 16
    if r2 > r7 goto out
    r8 = *(u64 *)(r6 + 0)
    *(u64 *)(r10 - 64) = r8
    *(u64 *)(r10 - 56) = r8
    *(u64 *)(r10 - 48) = r8
    *(u64 *)(r10 - 40) = r8
    *(u64 *)(r10 - 32) = r8
    *(u64 *)(r10 - 24) = r8
    *(u64 *)(r10 - 16) = r8
    *(u64 *)(r10 - 8) = r8
    r3 = *(u32 *)(r6 + 8)
    r3 &= 63
    r4 = *(u32 *)(r6 + 12)
    r1 = ring ll
    r2 = r10
    r2 += -64
    call bpf_ringbuf_output
    exit
out:
    r0 = 1
    exit

.section xdp
count_up:                               # sends 0, 1, 2 and so on, as many as the frame says
    r6 = *(u32 *)(r1 + xdp_md.data)
    r7 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = r6
    r2 += 8
    r9 = 0
    if r2 > r7 goto done
    r8 = *(u32 *)(r6 + 0)               # how many, at most 1000
    r9 = *(u32 *)(r6 + 4)               # the first
    r7 = 0
again:
    if r7 >= r8 goto done
    if r7 == 1000 goto done
    r7 += 1
    r1 = ring ll
    r2 = 16
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto done
    *(u64 *)(r0 + 0) = r9
    r1 = r9
    r1 *= -2
    *(u64 *)(r0 + 8) = r1
    r1 = r0
    r2 = 0
    call bpf_ringbuf_submit
    r9 += 1
    goto again
done:
    r0 = r9
    exit

.section xdp
every_other:                            # of ten records the odd ones are discarded
    r9 = 0
next:
    r1 = ring ll
    r2 = 8
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto end
    *(u64 *)(r0 + 0) = r9
    r1 = r0
    r2 = 0
    r3 = r9
    r3 &= 1
    if r3 != 0 goto discard
    call bpf_ringbuf_submit
    goto following
discard:
    call bpf_ringbuf_discard
following:
    r9 += 1
    if r9 < 10 goto next
end:
    r0 = 0
    exit

.section xdp
send_other:
    *(u32 *)(r10 - 4) = 7
    r1 = other ll
    r2 = r10
    r2 += -4
    r3 = 4
    r4 = 0
    call bpf_ringbuf_output
    exit
"""

PERF = """
.license "GPL"
.map events, perf_event_array, key=u32, value=u32
.section xdp
send:                                   # a number and a length, from the frame
    r8 = r1
    r6 = *(u32 *)(r1 + xdp_md.data)
    r7 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = r6
    r2 += 16
    if r2 > r7 goto out
    r9 = *(u64 *)(r6 + 0)
    *(u64 *)(r10 - 32) = r9
    *(u64 *)(r10 - 24) = r9
    *(u64 *)(r10 - 16) = r9
    *(u64 *)(r10 - 8) = r9
    r5 = *(u32 *)(r6 + 8)
    r5 &= 31
    r1 = r8
    r2 = events ll
    r3 = 0xffffffff ll                  # BPF_F_CURRENT_CPU
    r4 = r10
    r4 += -32
    call bpf_perf_event_output
    exit
out:
    r0 = 1
    exit
"""

NO_WAKEUP, FORCE_WAKEUP = 1, 2


@contextmanager
def ring_programs(size: int = SIZE) -> Iterator[Collection]:
    """Two ring buffers, and programs that fill them."""
    with ebpfasm.load(ebpfasm.assemble(SEND.replace("{size}", str(size)), name="send.s")) as loaded:
        yield loaded


@contextmanager
def perf_programs() -> Iterator[Collection]:
    """A perf event array, and a program that sends through it."""
    with ebpfasm.load(ebpfasm.assemble(PERF, name="perf.s")) as loaded:
        yield loaded


def send(program: Program, number: int, length: int = 8, flags: int = 0) -> int:
    """Have `send` send a record; what the helper returned."""
    frame = struct.pack("=QII", number, length, flags)
    retval = program.test_run(frame).retval
    return retval - (1 << 32) if retval >> 31 else retval


def count_up(program: Program, first: int, count: int) -> int:
    """Have `count_up` send some numbers; the first that was not sent."""
    return program.test_run(struct.pack("=II", count, first) + bytes(8)).retval


def numbers(values: Iterable[int]) -> list[tuple[int, int]]:
    """What `count_up` sends, as "=Qq" reads it."""
    return [(value, -2 * value) for value in values]
