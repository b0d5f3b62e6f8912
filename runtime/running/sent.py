"""What a program that the kernel runs sends to user space: the records of its rings, read back.

Records of one map come in their order; between maps there is no telling. The flags that the
program gave are not to be had. Lines of bpf_trace_printk go to the trace of the whole machine,
where nothing says which program wrote them, so nobody reads them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ebpfasm.analysis.vm import Event
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.ir.instruction import instructions_of
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa import helpers
from ebpfasm.isa.forms import Form

if TYPE_CHECKING:
    from ebpfasm.runtime.events.perf import PerfBuffer
    from ebpfasm.runtime.events.ringbuf import RingBuffer
    from ebpfasm.runtime.maps import Map


class Sent:
    """Readers of a program's rings and perf buffers, open while it runs."""

    def __init__(self, rings: dict[str, RingBuffer], buffers: dict[str, PerfBuffer]) -> None:
        self._rings = rings
        self._buffers = buffers

    def forget(self) -> None:
        """Throw away what is there already."""
        self.take()

    def take(self) -> tuple[Event, ...]:
        """Everything that was sent since the last time."""
        found = [
            Event("ringbuf", name, bytes(record))
            for name, ring in self._rings.items()
            for record in ring.read_bytes()
        ]
        for name, buffer in self._buffers.items():
            found += [
                Event("perf", name, bytes(data), key=cpu, cpu=cpu) for cpu, data in buffer.read()
            ]
        return tuple(found)


_PERF_OUTPUT = frozenset({"bpf_perf_event_output", "bpf_skb_output", "bpf_xdp_output"})


def _sends_samples(program: ProgramSpec) -> bool:
    """Whether a program writes perf records; others count by the events of such a map."""
    streams = [program.instructions, *(each.instructions for each in program.functions)]
    numbers = {helpers.BY_NAME[name].id for name in _PERF_OUTPUT}
    return any(
        each.spec.form is Form.CALL_HELPER and each.imm in numbers
        for stream in streams
        for each in instructions_of(stream)
    )


@contextmanager
def reading(maps: Iterable[Map], program: ProgramSpec) -> Iterator[Sent | None]:
    """Open a reader for each ring that a program fills; None where that is not possible."""
    wanted = [each for each in maps if each.type in ("ringbuf", "perf_event_array")]
    if any(each.type != "ringbuf" for each in wanted) and not _sends_samples(program):
        wanted = [each for each in wanted if each.type == "ringbuf"]
    if not wanted:
        yield Sent({}, {})
        return
    with ExitStack() as opened:
        try:
            readers: Sent | None = _open(wanted, opened)
        except (LoadError, NotSupported):
            readers = None
        yield readers


def _open(wanted: list[Map], opened: ExitStack) -> Sent:
    from ebpfasm.runtime.events.perf import PerfBuffer
    from ebpfasm.runtime.events.ringbuf import RingBuffer

    rings: dict[str, RingBuffer] = {}
    buffers: dict[str, PerfBuffer] = {}
    for each in wanted:
        if each.type == "ringbuf":
            rings[each.name] = opened.enter_context(RingBuffer(each))
        else:
            buffers[each.name] = opened.enter_context(PerfBuffer(each, with_cpu=True))
    sent = Sent(rings, buffers)
    sent.forget()
    return sent
