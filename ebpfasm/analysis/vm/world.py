"""What is around a program: maps, clock, chance, processor, task, and what it sent out.

Nothing here depends on the machine it runs on: the same test gives the same run everywhere. A
world outlives its runs, so maps keep their contents from one packet to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.memory import Memory, Region, describe
from ebpfasm.analysis.vm.network import Network
from ebpfasm.analysis.vm.objects import Objects, Task
from ebpfasm.errors import VmError, error
from ebpfasm.ir.references import MapRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.tables import is_table
from ebpfasm.isa import helpers

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.graph import Graph
    from ebpfasm.analysis.vm.maps import VmMap

CLOCK = 1_000_000_000  # ns since boot at which a world's clock stands, until it is set


@dataclass(slots=True)
class Timer:
    """A timer in a map's value: what it calls, and when, in ns of the world's clock."""

    map: int
    callback: int = 0
    due: int | None = None


@dataclass(slots=True)
class Sysctl:
    """What a cgroup_sysctl program is asked about: the name under /proc/sys, and the values."""

    name: str = ""
    current: bytes = b""
    new: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """What a program sent or asked for.

    `kind` is ringbuf, perf, redirect, clone, signal, output (of an iterator), or the name of the
    helper whose effect lies outside the machine: sk_assign, set_tunnel_key, bind and so on. `map`
    is the map that it went through, empty for none; `key` the map's key, the interface, the
    signal, or the object's number; `flags` the helper's; `data` the record, or the packet of a
    clone.
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
    runs the program, of `cpus`; `functions` Python functions in place of helpers, or of kernel
    functions by name, which get the machine and up to five registers and return r0. `task` is who
    is interrupted, `network` what is around packets, `sysctl` what a cgroup_sysctl program sees,
    `symbols` the kernel's variables: an address, or their bytes. `counters` are perf events by map
    and index: count, ns enabled, ns counted; `branches` are the last branches' records.
    Raises VmError for maps that cannot be made.
    """

    def __init__(
        self,
        maps: Iterable[MapSpec] = (),
        *,
        cpus: int = 1,
        seed: int = 1,
        now: int = CLOCK,
        functions: Mapping[str | int, Callable[..., int]] | None = None,
        task: Task | None = None,
        network: Network | None = None,
        sysctl: Sysctl | None = None,
        symbols: Mapping[str, int | bytes] | None = None,
        counters: Mapping[tuple[str, int], tuple[int, int, int]] | None = None,
        branches: bytes = b"",
    ) -> None:
        from ebpfasm.analysis.vm.maps import make

        self.memory = Memory()
        self.objects = Objects(self.memory)
        self.cpus = cpus
        self.cpu = 0
        self.now = now
        self.task = task if task is not None else Task()
        self.network = network if network is not None else Network()
        self.sysctl = sysctl if sysctl is not None else Sysctl()
        self.symbols = dict(symbols or {})
        self.counters = dict(counters or {})
        self.branches = branches
        self._symbols: dict[str, Region] = {}
        self.printk: list[str] = []
        self.events: list[Event] = []
        self.functions = _by_id(functions or {})
        self.kfuncs = {
            name: function
            for name, function in (functions or {}).items()
            if isinstance(name, str) and helpers.find(name) is None
        }
        self.timers: dict[int, Timer] = {}  # by address
        self.graph: Graph | None = None  # objects that programs made, once there are any
        self.retval = 0  # of the cgroup programs before this one
        self.cookie = 0  # of the attachment
        self.chance = seed & (1 << 64) - 1 or 1  # the state of the random numbers
        self.all_maps: list[VmMap] = []  # inner ones too
        specs = [spec for spec in maps if not is_table(spec)]  # a machine's, not the world's
        self.maps: dict[str, VmMap] = {spec.name: make(spec, self) for spec in specs}
        for spec in specs:
            if spec.contents and self.maps[spec.name].type != "arena":
                content = bytes(spec.contents).ljust(spec.value_size, b"\0")
                self.maps[spec.name].fill({bytes(spec.key_size): content})
            for key, ref in spec.initial.items():
                if isinstance(ref, MapRef) and ref.name in self.maps:
                    self.maps[spec.name].fill({key: self.maps[ref.name]})

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

    def provide(self, content: bytes, *, name: str = "memory", writable: bool = True) -> int:
        """Give the program memory that no map has, user space's perhaps; return its address."""
        return self.memory.add("data", name, bytearray(content), writable=writable).address

    def symbol(self, name: str) -> int | None:
        """A kernel variable's address, None where the test supplies none.

        Bytes are put into memory, once for each processor: bpf_per_cpu_ptr goes from one to
        the next.
        """
        value = self.symbols.get(name)
        if value is None or isinstance(value, int):
            return value
        region = self._symbols.get(name)
        if region is None:
            size = len(value)
            stride = -(-size // 8) * 8
            host = bytearray(bytes(value).ljust(stride, b"\0") * self.cpus)
            region = self.memory.add_row("data", name, host, size, stride, self.cpus, self)
            self._symbols[name] = region
        return region.address

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
    found: dict[int, Callable[..., int]] = {}
    for name, function in functions.items():
        spec = helpers.find(name)
        if spec is not None or isinstance(name, int):
            found[spec.id if spec is not None else int(name)] = function
    return found
