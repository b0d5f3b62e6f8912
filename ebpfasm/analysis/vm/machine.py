"""One program over one world: what both engines need, and nothing of how they run it."""

from __future__ import annotations

from collections.abc import Mapping
from sys import byteorder as _ORDER
from typing import Protocol

from ebpfasm.analysis.vm import context
from ebpfasm.analysis.vm.code import Code
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.maps.others import ProgramsMap
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.packet import ETHERNET, HEADROOM, Packet
from ebpfasm.analysis.vm.world import World
from ebpfasm.errors import VmError, error
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.references import KfuncRef, KsymRef, MapRef, VarRef
from ebpfasm.isa.forms import Form

FRAME = 512  # bytes of stack of each function (MAX_BPF_STACK)
DEPTH = 8  # functions that can be active at once (MAX_CALL_FRAMES)
TAIL_CALLS = 33  # in one run (MAX_TAIL_CALL_CNT)
BUDGET = 10_000_000  # instructions of one run
MAY_GOTO = 0xFFFF  # times that may_goto goes on, in each function's frame
LIMIT = 1 << 20  # bytes of a packet
LOOPBACK = 1  # the interface that packets come from where the context says none
_NETWORK, _LINK = -0x100000, -0x200000  # SKF_NET_OFF and SKF_LL_OFF of classic BPF
_WIRE_LENGTH = 160  # __sk_buff.wire_len
_XDP_INTERFACE, _SKB_INTERFACE = 12, 40  # xdp_md.ingress_ifindex, __sk_buff.ifindex
MAY_RETURN_NOTHING = frozenset({"struct_ops", "lsm"})  # their hooks may return void


class Caller(Protocol):
    """What a helper asks of the engine: run a callback."""

    def call(self, address: int, *arguments: int) -> int:
        """Run a function of the program with these arguments and return its r0."""


class Machine:
    """A program, its world and its memory, ready for run after run.

    Raises VmError where an instruction names a map that the world does not have.
    """

    def __init__(self, linked: LinkedProgram, world: World, *, budget: int = BUDGET) -> None:
        self.linked = linked
        self.world = world
        self.memory = world.memory
        self.budget = budget
        self.shape = context.layout(linked.type)
        self.code = Code()
        self.code_region = self.memory.add_row("code", "code", bytearray(), 8, 8, 1 << 20, self)
        self.code_region.size = 0  # functions have addresses, and nothing to read
        # One behind the other: the native engine counts on it.
        self.frames = [self._frame(depth) for depth in range(DEPTH)]
        self.packet = Packet(self.memory)
        self.ctx = self.memory.add("ctx", "ctx", bytearray(self.shape.size), owner=self)
        self.entry = self.code.add(linked)
        self.records: dict[int, Region] = {}  # by number: what helpers gave and must be given back
        self.lock = 0  # address of the spin lock held
        self.returns_value = linked.type not in MAY_RETURN_NOTHING
        self.engine: Caller | None = None
        self._resolved = 0
        self._given: bytes | Mapping[str, int] | None = None  # the context as a run began
        self._is_xdp = self.shape.struct == "xdp_md"
        empty = bytearray(self.shape.size)
        if self._is_xdp:
            _default(empty, _XDP_INTERFACE)
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
            if instruction.spec.form not in (Form.LOAD_IMM64, Form.LOAD_PSEUDO):
                continue
            if step.fault is not None:
                continue
            match instruction.ref:
                case MapRef(name=name):
                    step.value = self._map_value(name, None, step.instruction.span)
                case KsymRef(name=name) | KfuncRef(name=name):
                    what = f"needs {name!r}, which exists only in a kernel"
                    step.fault = Fault("not-supported", what)
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
        self, data: bytes, ctx: bytes | Mapping[str, int] | None, *, fresh: bool = True
    ) -> tuple[int, ...]:
        """Set a run up; return the first arguments. Raises VmError for input that does not fit.

        A `fresh` run forgets what the last one printed and sent.
        """
        if fresh:
            self.world.new_run()
        self.lock = 0
        if not 0 <= self.world.cpu < self.world.cpus:
            message = (
                f"the world has {self.world.cpus} processors, and is on number {self.world.cpu}"
            )
            raise VmError(error("vm-input", message))
        if len(data) > LIMIT:
            raise VmError(error("vm-input", f"a packet has at most {LIMIT} bytes; got {len(data)}"))
        self._given = ctx
        if ctx is None and self._is_xdp:
            self._set_ctx(self._empty)
            self.packet.fill(data)
            return (self.ctx.address,)
        if self.shape.packet:
            self._set_ctx(context.pack(self.shape, ctx) if ctx is not None else self._empty)
            self._fill_packet(data, self.ctx.host)
        elif not self.shape.struct and ctx is None:
            # Programs whose context is no struct take the data for it, and its length in r2.
            self._set_ctx(data)
            return self.ctx.address, len(data)
        else:
            self._set_ctx(context.pack(self.shape, ctx))
        return (self.ctx.address,)

    def _set_ctx(self, content: bytes | bytearray) -> None:
        """Fill the context, in place where the size is the same: engines know the place."""
        if len(content) == self.ctx.high:
            self.ctx.host[:] = content
            return
        self.ctx.host, self.ctx.high = bytearray(content), len(content)
        self.memory.changed(self.ctx)

    def _fill_packet(self, data: bytes, host: bytearray) -> None:
        if self.shape.struct == "xdp_md":
            start = int.from_bytes(host[0:4], _ORDER)
            end = int.from_bytes(host[4:8], _ORDER)
            if (start or end) and not (start <= end == len(data) and start % 4 == 0):
                message = f"xdp_md.data is {start} and data_end {end} for {len(data)} bytes"
                hint = "they count from data_meta: data is the metadata's size, data_end all of it"
                raise VmError(error("vm-input", message, hint=hint))
            self.packet.fill(data, start)
            _default(host, _XDP_INTERFACE)
            return
        self.packet.fill(data, 0, min(self.packet_skip, len(data)))
        _default(host, _SKB_INTERFACE)
        _default(host, _WIRE_LENGTH, self.packet.length)
        if host[16:20] == bytes(4) and len(data) >= ETHERNET:
            host[16:18] = data[12:14]
        self.set_length()

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
        """The packet as the program left it, an XDP frame's metadata in front of it."""
        if self.shape.struct == "xdp_md":
            return bytes(self.packet.buffer[self.packet.meta : self.packet.data_end])
        if self.shape.struct != "__sk_buff" or self.linked.type in context.LINK_LAYER:
            return self.packet.bytes() if self.shape.packet else b""
        # The kernel's test run puts an empty header back in front of what it had skipped.
        skipped = min(ETHERNET, self.packet.data - HEADROOM)
        return bytes(max(skipped, 0)) + self.packet.bytes()

    def end(self) -> None:
        """Look at what a finished run left behind. Raises Fault for a lock or a record."""
        if self.lock:
            raise Fault("vm-lock", f"exits with the lock {describe(self.memory, self.lock)} held")
        for region in self.records.values():
            if region.kind == "record":
                raise Fault("vm-helper", f"exits with a {region.name} neither sent nor discarded")

    def release(self) -> None:
        """Free what the run held."""
        for region in self.records.values():
            self.memory.free(region)
        self.records.clear()

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
            host[_XDP_INTERFACE : _XDP_INTERFACE + 4] = given[_XDP_INTERFACE : _XDP_INTERFACE + 4]
        elif self.shape.struct == "__sk_buff":
            host[0:4] = host[16:20] = bytes(4)
        return bytes(host)

    def load_ctx(self, offset: int, length: int) -> int | None:
        """What loading a field gives that is more than bytes, None for the others."""
        for at, kind in self.shape.pointers.items():
            if offset + length <= at or at + 4 <= offset:
                continue
            if (offset, length) != (at, 4):
                name = f"{self.shape.struct}.{kind}"
                raise Fault("vm-memory", f"reads a part of {name}, a pointer that loads as 32 bits")
            packet = self.packet
            places = {"data": packet.data, "data_end": packet.data_end, "data_meta": packet.meta}
            return packet.address(places[kind])
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


def _default(host: bytearray, at: int, value: int = LOOPBACK) -> None:
    if host[at : at + 4] == bytes(4):
        host[at : at + 4] = value.to_bytes(4, _ORDER)
