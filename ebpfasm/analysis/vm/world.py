"""What is around a program: maps, clock, chance, processor, task, and what it sent out.

Nothing here depends on the machine it runs on: the same test gives the same run everywhere. A
world outlives its runs, so maps keep their contents from one packet to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.memory import Memory, describe
from ebpfasm.errors import VmError, error
from ebpfasm.ir.specs import MapSpec

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.maps import VmMap

CLOCK = 1_000_000_000  # ns since boot at which a world's clock stands, until it is set


@dataclass(slots=True)
class Task:
    """Who the program interrupts: what bpf_get_current_* say."""

    pid: int = 1
    tgid: int = 1
    uid: int = 0
    gid: int = 0
    comm: bytes = b"ebpfasm"
    cgroup_id: int = 1


@dataclass(slots=True)
class Timer:
    """A timer in a map's value: what it calls, and when, in ns of the world's clock."""

    map: int
    callback: int = 0
    due: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What a program sent: `kind` is ringbuf, perf, redirect, clone or signal.

    `map` is the map that it went through, empty for none; `key` the map's key, the interface or
    the signal; `flags` the helper's; `data` the record, or the packet of a clone.
    """

    kind: str
    map: str = ""
    data: bytes = b""
    key: int = 0
    flags: int = 0
    cpu: int = 0


class World:
    """Everything that a program can see beside its packet and context.

    `now` is the clock in nanoseconds and stands still until it is set; `cpu` the processor that
    runs the program, of `cpus`; `functions` Python functions in place of helpers, by id, which
    get the machine and up to five registers and return r0. Raises VmError for maps that cannot
    be made.
    """

    def __init__(
        self,
        maps: Iterable[MapSpec] = (),
        *,
        cpus: int = 1,
        seed: int = 1,
        now: int = CLOCK,
        functions: Mapping[str | int, Callable[..., int]] | None = None,
    ) -> None:
        from ebpfasm.analysis.vm.maps import make

        self.memory = Memory()
        self.cpus = cpus
        self.cpu = 0
        self.now = now
        self.task = Task()
        self.printk: list[str] = []
        self.events: list[Event] = []
        self.functions = _by_id(functions or {})
        self.timers: dict[int, Timer] = {}  # by address
        self.retval = 0  # of the cgroup programs before this one
        self.cookie = 0  # of the attachment
        self.chance = seed & (1 << 64) - 1 or 1  # the state of the random numbers
        self.all_maps: list[VmMap] = []  # inner ones too
        specs = list(maps)
        self.maps: dict[str, VmMap] = {spec.name: make(spec, self) for spec in specs}
        for spec in specs:
            if spec.contents:
                content = spec.contents.ljust(spec.value_size, b"\0")
                self.maps[spec.name].fill({bytes(spec.key_size): content})

    def random_u32(self) -> int:
        """The next pseudo-random number (xorshift64*), the same in every run with one seed."""
        x = self.chance
        x ^= x >> 12
        x = (x ^ x << 25) & (1 << 64) - 1
        x ^= x >> 27
        self.chance = x
        return (x * 0x2545F4914F6CDD1D >> 32) & 0xFFFFFFFF

    def print(self, text: str) -> None:
        """Keep a line of bpf_trace_printk; the line end it may bring along is left out."""
        self.printk.append(text.removesuffix("\n"))

    def map_at(self, address: int) -> VmMap:
        """The map that a program means. Raises Fault where it is none."""
        region = self.memory.find(address)
        if region is None or region.kind != "map" or address != region.address:
            where = describe(self.memory, address)
            raise Fault("vm-map", f"gives {where} where a map belongs")
        found: VmMap = region.owner
        return found

    def fill(self, contents: Mapping[str, Mapping[Any, Any]]) -> None:
        """Give maps their first contents. Raises VmError for a map that does not exist."""
        for name, content in contents.items():
            if name not in self.maps:
                known = ", ".join(self.maps) or "none"
                message = f"there is no map {name!r}"
                raise VmError(error("vm-map", message, hint=f"the program's maps: {known}"))
            self.maps[name].fill(content)

    def new_run(self) -> None:
        """Forget what the last run printed and sent."""
        self.printk = []
        self.events = []
        self.consume()

    def consume(self) -> None:
        """Read what programs sent, as a consumer in user space would: rings are empty then."""
        for each in self.all_maps:
            each.new_run()


def _by_id(functions: Mapping[str | int, Callable[..., int]]) -> dict[int, Callable[..., int]]:
    from ebpfasm.isa import helpers

    found: dict[int, Callable[..., int]] = {}
    for name, function in functions.items():
        spec = helpers.find(name)
        if spec is None and not isinstance(name, int):
            raise VmError(error("vm-helper", f"there is no helper {name!r}"))
        found[spec.id if spec is not None else int(name)] = function
    return found
