"""One program over one world: what both engines need, and nothing of how they run it."""

from __future__ import annotations

from dataclasses import dataclass
from sys import byteorder as _ORDER
from typing import Protocol, assert_never

from ebpfasm.analysis.vm import context, entry
from ebpfasm.analysis.vm.code import Code, Step, kfunc_name
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.maps.others import ProgramsMap
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.message import Message
from ebpfasm.analysis.vm.network import Tunnel
from ebpfasm.analysis.vm.objects import CLOSE, Socket
from ebpfasm.analysis.vm.packet import ETHERNET, Packet
from ebpfasm.analysis.vm.world import World
from ebpfasm.errors import VmError, error
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.references import KfuncRef, KsymRef, MapRef, VarRef
from ebpfasm.ir.tables import ENTRY
from ebpfasm.isa.forms import Form

FRAME = 512  # bytes of stack of each function (MAX_BPF_STACK)
DEPTH = 8  # functions that can be active at once (MAX_CALL_FRAMES)
TAIL_CALLS = 33  # in one run (MAX_TAIL_CALL_CNT)
BUDGET = 10_000_000  # instructions of one run
MAY_GOTO = 0xFFFF  # times that may_goto goes on, in each function's frame
LIMIT = 1 << 20  # bytes of a packet
_NETWORK, _LINK = -0x100000, -0x200000  # SKF_NET_OFF and SKF_LL_OFF of classic BPF
_SOCKET_LOAD = ("ldx", 64, entry.SKB_SOCKET)  # of __sk_buff.sk
MAY_RETURN_NOTHING = frozenset({"struct_ops", "lsm"})  # their hooks may return void


@dataclass(slots=True)
class Dynptr:
    """A dynamic pointer: the memory it is about, and what of it may be done.

    `kind` is local, ringbuf, skb, xdp or null; `address` where its first byte is, 0 where that is
    a packet's, whose `offset` counts from data.
    """

    kind: str
    address: int
    size: int
    offset: int = 0
    read_only: bool = False
    written: bytes = b""  # what stands in the program's memory for it


class Caller(Protocol):
    """What a helper asks of the engine: run a callback."""

    def call(self, address: int, *arguments: int) -> int:
        """Run a function of the program with these arguments and return its r0."""

    def places(self) -> tuple[int, ...]:
        """The addresses of the instructions that are running, the innermost call first."""


class Machine:
    """A program, its world and its memory, ready for run after run.

    Raises VmError where an instruction names a map that the world does not have, and for a budget
    that allows no instruction.
    """

    def __init__(self, linked: LinkedProgram, world: World, *, budget: int = BUDGET) -> None:
        if budget < 1:
            raise VmError(error("vm-input", f"a budget is 1 or more instructions, not {budget}"))
        self.linked = linked
        self.world = world
        self.memory = world.memory
        self.budget = budget
        self.shape = context.layout(linked.type, linked.program.attach_type)
        self.code = Code()
        self.code_region = self.memory.add_row("code", "code", bytearray(), 8, 8, 1 << 20, self)
        self.code_region.size = 0  # functions have addresses, and nothing to read
        # One behind the other: the native engine counts on it.
        self.frames = [self._frame(depth) for depth in range(DEPTH)]
        self.packet = Packet(self.memory)
        self.ctx = self.memory.add("ctx", "ctx", bytearray(self.shape.size), owner=self)
        self.flow_keys = self.memory.add("object", "flow_keys", bytearray(56), owner=self)
        self.test_socket = Socket(family=0, type=0, protocol=0, state=CLOSE)  # where none is given
        self.socket_of = b""  # headers of the packet that it was made for
        self.message: Message | None = None  # of sk_msg programs
        self.tunnel: Tunnel | None = None  # of the packet
        self.skipped = 0  # bytes of the packet that the program does not see
        self.header_room = 0  # bytes left for TCP options
        self.sockets: dict[int, int] = {}  # addresses that must be released, and how often
        self.dynptrs: dict[int, Dynptr] = {}  # by address
        self.reads_socket = False  # whether the context must have one for packets
        self.entry = self.code.add(linked)
        self.records: dict[int, Region] = {}  # by number: what helpers gave and must be given back
        self.lock = 0  # address of the spin lock held
        self.returns_value = linked.type not in MAY_RETURN_NOTHING
        self.engine: Caller | None = None
        self._resolved = 0
        self._tables: dict[tuple[int, str], Region] = {}
        self._given: context.Context | None = None  # the context as a run began
        self._is_xdp = self.shape.struct == "xdp_md"
        empty = bytearray(self.shape.size)
        if self._is_xdp:
            place = entry.XDP_INTERFACE
            empty[place : place + 4] = entry.LOOPBACK.to_bytes(4, _ORDER)
        self._empty = bytes(empty)
        self.resolve()

    def _frame(self, depth: int) -> Region:
        name = f"r10 of call {depth}" if depth else "r10"
        region = self.memory.add("stack", name, bytearray(FRAME), fresh=True)
        region.high = 0
        return region

    # ---- programs

    def resolve(self) -> None:
        """Give 64-bit immediates their values, of programs that were added since the last time."""
        for each in self.world.maps.values():
            if isinstance(each, ProgramsMap):
                for linked in each.programs.values():
                    self.code.add(linked)
        for step in self.code.steps[self._resolved :]:
            instruction = step.instruction
            if (instruction.spec.op, instruction.spec.width, instruction.off) == _SOCKET_LOAD:
                self.reads_socket = True
            if instruction.spec.form is Form.CALL_KFUNC:
                self._allow(step)
                continue
            if instruction.spec.form not in (Form.LOAD_IMM64, Form.LOAD_PSEUDO):
                continue
            if step.fault is not None:
                continue
            match instruction.ref:
                case MapRef(name=name):
                    step.value = self._map_value(name, None, step.instruction.span)
                case KsymRef(name=name) | KfuncRef(name=name):
                    value = self.world.symbol(name)
                    if value is None:
                        what = f"needs {name!r}, which exists only in a kernel"
                        hint = f'give the machine a value: symbols={{"{name}": ...}}'
                        step.fault = Fault("not-supported", what, hint)
                    step.value = (value or 0) & (1 << 64) - 1
                case VarRef(map=name, offset=offset) if self._has_table(step, name):
                    step.value = self._table(step, name) + offset
                case VarRef(map=name, offset=offset):
                    step.value = self._map_value(name, offset, step.instruction.span)
                case _ if instruction.spec.op == "lddw_func":
                    step.value = self.code_region.element(step.target)
                case _ if instruction.spec.form is Form.LOAD_PSEUDO:
                    what = f"names a map by its descriptor, {instruction.imm & 0xFFFFFFFF}"
                    step.fault = Fault("vm-map", what, "name the map instead")
                case _:
                    step.value = instruction.imm & (1 << 64) - 1
        self._resolved = len(self.code.steps)

    def _allow(self, step: Step) -> None:
        """Let a kernel function be called that the test or the machine has."""
        from ebpfasm.analysis.vm.kfuncs import KFUNCS

        name = kfunc_name(step.instruction)
        if name in self.world.kfuncs or name in KFUNCS:
            step.fault = None

    def _has_table(self, step: Step, name: str) -> bool:
        return name in self.code.routines[step.function].program.tables

    def _table(self, step: Step, name: str) -> int:
        """The address of a jump table, which each program has its own of."""
        key = id(self.code.routines[step.function].program), name
        if key not in self._tables:
            places = (
                self.code_region.element(at) if at >= 0 else 0 for at in self.code.tables[key]
            )
            content = bytearray(b"".join(each.to_bytes(ENTRY, _ORDER) for each in places))
            self._tables[key] = self.memory.add("data", name, content, writable=False, owner=self)
        return self._tables[key].address

    def landing_at(self, address: int, at: int) -> int:
        """The step that `gotox` comes to from the one at `at`. Raises Fault where it may not."""
        region = self.memory.find(address)
        if region is self.code_region:
            goal = (address - region.address) >> region.shift
            routine = self.code.routine(at)
            inside = routine.start <= goal < routine.end and goal in self.code.landings
            if inside and region.element(goal) == address:
                return goal
        where = describe(self.memory, address)
        hint = "jump to what was loaded from a jump table of the function: *(u64 *)(rX + 0)"
        raise Fault("vm-jump", f"jumps to {where}, which no jump table of this function has", hint)

    def _map_value(self, name: str, offset: int | None, span: object) -> int:
        found = self.world.maps.get(name)
        if found is None:
            raise VmError(error("vm-map", f"there is no map {name!r}"))
        if offset is None:
            return found.address
        return found.lookup_elem(bytes(found.key_size)) + offset

    def function_at(self, address: int) -> int:
        """The step where the function at an address begins. Raises Fault where there is none."""
        region = self.memory.find(address)
        if region is self.code_region:
            at = (address - region.address) >> region.shift
            if at in self.code.starts and region.element(at) == address:
                return at
        raise Fault("vm-jump", f"calls {describe(self.memory, address)}, which is no function")

    def tail_target(self, address: int, index: int) -> int | None:
        """The step where a prog array's program begins, None where the slot is empty."""
        found = self.world.map_at(address)
        if not isinstance(found, ProgramsMap):
            raise Fault("vm-map", f"tail-calls through map {found.name!r}, which is no prog_array")
        linked = found.programs.get(index & 0xFFFFFFFF)
        if linked is None:
            return None
        at = self.code.add(linked)
        self.resolve()
        return at

    # ---- runs

    def begin(
        self, data: bytes, ctx: context.Context | None, *, fresh: bool = True
    ) -> tuple[int, ...]:
        """Set a run up; return the first arguments. Raises VmError for input that does not fit.

        A `fresh` run forgets what the last one printed and sent.
        """
        if fresh:
            self.world.new_run()
        self.lock = 0
        self.message = None
        if self.reads_socket:
            entry.forget_socket(self)
        self.tunnel, self.header_room = self.world.network.tunnel, self.world.network.header_room
        if not 0 <= self.world.cpu < self.world.cpus:
            message = (
                f"the world has {self.world.cpus} processors, and is on number {self.world.cpu}"
            )
            raise VmError(error("vm-input", message))
        if not 0 <= self.world.now < 1 << 64:
            message = f"the clock stands at {self.world.now} ns, which is no time of 64 bits"
            raise VmError(error("vm-input", message))
        if len(data) > LIMIT:
            raise VmError(error("vm-input", f"a packet has at most {LIMIT} bytes; got {len(data)}"))
        self._given = ctx = entry.placed(self, ctx)
        if ctx is None and self._is_xdp:
            self._set_ctx(self._empty)
            self.packet.fill(data)
            return (self.ctx.address,)
        if self.shape.packet:
            self._set_ctx(context.pack(self.shape, ctx) if ctx is not None else self._empty)
            entry.fill_packet(self, data, self.ctx.host)
        elif not self.shape.struct and ctx is None:
            # Programs whose context is no struct take the data for it, and its length in r2.
            self._set_ctx(data)
            return self.ctx.address, len(data)
        else:
            self._set_ctx(context.pack(self.shape, ctx))
            entry.fill_packet(self, b"", self.ctx.host)
        return (self.ctx.address,)

    def _set_ctx(self, content: bytes | bytearray) -> None:
        """Fill the context, in place where the size is the same: engines know the place."""
        if len(content) == self.ctx.high:
            self.ctx.host[:] = content
            return
        self.ctx.host, self.ctx.high = bytearray(content), len(content)
        self.memory.changed(self.ctx)

    @property
    def packet_skip(self) -> int:
        """Bytes of header in front of what programs of this type see of a packet."""
        skips = self.shape.struct == "__sk_buff" and self.linked.type not in context.LINK_LAYER
        return ETHERNET if skips else 0

    def set_length(self) -> None:
        """Tell __sk_buff how long the packet is now."""
        if self.shape.struct == "__sk_buff":
            self.ctx.host[0:4] = self.packet.length.to_bytes(4, _ORDER)

    def packet_out(self) -> bytes:
        """The packet as the program left it, an XDP frame's metadata in front of it.

        Of a flow dissector it is the keys that it found, of sk_msg the whole message.
        """
        if self.message is not None:
            return self.message.bytes()
        if self.linked.type == "flow_dissector":
            return entry.flow_keys_out(self.flow_keys.host, self.packet.length)
        if self.shape.struct == "xdp_md":
            return bytes(self.packet.buffer[self.packet.meta : self.packet.data_end])
        if self.shape.struct != "__sk_buff" or self.linked.type in context.LINK_LAYER:
            return self.packet.bytes() if self.shape.packet else b""
        # The kernel's test run puts an empty header back in front of what it had skipped.
        return bytes(self.skipped) + self.packet.bytes()

    def end(self) -> None:
        """Look at what a finished run left behind. Raises Fault for a lock or a record."""
        if self.lock:
            raise Fault("vm-lock", f"exits with the lock {describe(self.memory, self.lock)} held")
        for region in self.records.values():
            if region.kind == "record":
                raise Fault("vm-helper", f"exits with a {region.name} neither sent nor discarded")
        for address in self.sockets:
            where = describe(self.memory, address)
            hint = "call bpf_sk_release on every way out"
            raise Fault("vm-helper", f"exits with {where} not given back", hint)
        if self.world.graph is not None:
            from ebpfasm.analysis.vm.graph import check_all_given_away

            check_all_given_away(self.world.graph, self)

    def release(self) -> None:
        """Free what the run held."""
        for region in self.records.values():
            self.memory.free(region)
        self.records.clear()
        self.sockets.clear()
        self.dynptrs.clear()
        if self.world.graph is not None:
            from ebpfasm.analysis.vm.graph import forget_own

            forget_own(self.world.graph, self)

    # ---- the context

    def ctx_out(self) -> bytes:
        """The context as the kernel's test run gives it back.

        In xdp_md places count from the metadata; __sk_buff tells no length and protocol.
        """
        host, packet = bytearray(self.ctx.host), self.packet
        if self.shape.struct == "xdp_md":
            for at, place in ((0, packet.data), (4, packet.data_end), (8, packet.meta)):
                host[at : at + 4] = (place - packet.meta).to_bytes(4, _ORDER)
            given = context.pack(self.shape, self._given)
            host[entry.XDP_INTERFACE : entry.XDP_INTERFACE + 4] = given[
                entry.XDP_INTERFACE : entry.XDP_INTERFACE + 4
            ]
        elif self.shape.struct == "__sk_buff":
            host[0:4] = host[16:20] = bytes(4)
            host[entry.TIME_TYPE] = context.pack(self.shape, self._given)[entry.TIME_TYPE]
            entry.clear_pointers(self.shape, host)
        elif self.shape.struct == "bpf_sk_lookup":
            picked = self.world.objects.at(int.from_bytes(host[0:8], _ORDER))
            cookie = self.world.objects.cookie(picked) if picked is not None else 0
            host[0:8] = cookie.to_bytes(8, _ORDER)
        else:
            entry.clear_pointers(self.shape, host)
        return bytes(host)

    def load_ctx(self, offset: int, length: int) -> int | None:
        """What loading a field gives that is more than bytes, None for the others."""
        for at, pointer in self.shape.pointers.items():
            if offset + length <= at or at + pointer.width <= offset:
                continue
            if (offset, length) != (at, pointer.width):
                name = f"{self.shape.struct}.{context.name_at(self.shape.struct, at)}"
                bits = 8 * pointer.width
                raise Fault(
                    "vm-memory", f"reads a part of {name}, a pointer that loads as {bits} bits"
                )
            packet = self.packet
            match pointer.to:
                case "data":
                    return packet.address(packet.data)
                case "data_end":
                    return packet.address(packet.data_end)
                case "data_meta":
                    return packet.address(packet.meta)
                case "object":
                    return None
                case _:
                    assert_never(pointer.to)
        return None

    def classic_load(self, r6: int, offset: int, length: int) -> bytes | None:
        """The bytes of a classic packet load, None where they are not in the packet.

        Negative offsets count from the network or the link header. Raises Fault.
        """
        packet = self.packet
        if self.shape.struct != "__sk_buff":
            raise Fault("vm-helper", "loads from a packet, which this program type has not")
        if r6 != self.ctx.address:
            raise Fault("vm-memory", "loads from a packet while r6 is not the context")
        start = packet.data
        if offset < 0:
            if offset >= _NETWORK:
                start, offset = packet.link + ETHERNET, offset - _NETWORK
            elif offset >= _LINK:
                start, offset = packet.link, offset - _LINK
            else:
                return None
        if start + offset + length > packet.data_end:
            return None
        return bytes(packet.buffer[start + offset : start + offset + length])
