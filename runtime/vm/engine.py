"""The native engine of the virtual machine: C runs the steps, Python what C hands back.

It gives what the reference engine gives (ebpfasm.analysis.vm.reference), which it also asks to
explain a fault: the step that C could not run is run there once more, and stops with the words.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from ebpfasm.analysis.vm.code import Step, kfunc_name
from ebpfasm.analysis.vm.faults import Fault, stopped
from ebpfasm.analysis.vm.helpers import call_helper
from ebpfasm.analysis.vm.initialised import all_written
from ebpfasm.analysis.vm.kfuncs import call_kfunc
from ebpfasm.analysis.vm.machine import DEPTH, MAY_GOTO, TAIL_CALLS, Machine
from ebpfasm.analysis.vm.memory import Region
from ebpfasm.analysis.vm.packet import HEADROOM, SHARED_INFO
from ebpfasm.analysis.vm.reference import CLOBBERED, TAIL_CALL, Frame, Interpreter
from ebpfasm.isa.forms import Form
from ebpfasm.native import native_core
from ebpfasm.runtime.vm.maps import mirror_map

DONE, HELPER, FAULT, TOO_LONG = range(4)  # what C came to
_WRITABLE, _CONTEXT = 1, 2  # flags of a region
# In a step's `writes`: a function begins here, a jump table leads here.
_START, _LANDING = 1 << 15, 1 << 14
# Helpers that C answers, where the test has no function of its own for them.
_BUILTIN = (1, 2, 3, 5, 7, 8, 181)
_PLACES = ("data", "data_end", "data_meta", "object")  # of pointer fields, as C numbers them
_U64 = (1 << 64) - 1


@cache
def _operations() -> dict[str, int]:
    """C's numbers for its operations, by name."""
    core = native_core()
    found: dict[str, int] = {}
    while core is not None and (name := core.lib.ebpfasm_vm_op(len(found))):
        found[core.ffi.string(name).decode()] = len(found)
    return found


class NativeEngine:
    """One machine's mirror in C. `count` is the number of instructions of the last run.

    Make one only where `native_core()` is there.
    """

    def __init__(self, machine: Machine) -> None:
        core = native_core()
        assert core is not None
        self.machine = machine
        self._packet = machine.packet
        self.ffi, self.lib = core.ffi, core.lib
        self.vm = self.ffi.new("struct ebpfasm_vm *")
        self.tail_calls = 0
        self._kept: dict[int, tuple[bytearray, Any]] = {}  # region -> its bytes as C sees them
        self._regions: Any = None
        self._steps: Any = None
        self._maps: Any = None
        self._mirrors: list[Any] = []
        self._numbers: dict[int, int] = {}  # of a map's region -> 1 + its place in C's table
        self._open = 0  # frames that Python can see
        self._step_count = 0
        self._set_up()
        machine.engine = self

    # ---- mirrors

    def _set_up(self) -> None:
        vm, machine = self.vm, self.machine
        self._mirror_maps()
        self._grow(max(64, len(machine.memory.regions)))
        machine.memory.listeners.append(self._changed)
        for region in machine.memory.regions:
            self._changed(region)
        vm.entry = machine.entry
        vm.budget = min(machine.budget, _U64)
        vm.may_goto = MAY_GOTO
        vm.first_frame = machine.frames[0].number
        vm.code = machine.code_region.number
        vm.ctx = machine.ctx.number
        vm.packet = machine.packet.region.number
        vm.returns_value = machine.returns_value
        vm.has_skb = machine.shape.struct == "__sk_buff"
        for number in _BUILTIN:
            vm.builtin[number] = number not in machine.world.functions
        shape = machine.shape
        vm.pointer_count = len(shape.pointers)
        for index, (offset, pointer) in enumerate(shape.pointers.items()):
            vm.pointer_at[index], vm.pointer_width[index] = offset, pointer.width
            vm.pointer_to[index] = _PLACES.index(pointer.to)
        vm.ranges_all = shape.writable is None
        ranges = shape.writable or ()
        vm.range_count = len(ranges)
        for index, (low, high) in enumerate(ranges):
            vm.ranges[2 * index], vm.ranges[2 * index + 1] = low, high
        self._mirror_steps()

    def _mirror_steps(self) -> None:
        steps = self.machine.code.steps
        if len(steps) == self._step_count:
            return
        operations = _operations()
        indirect = operations["gotox"]
        self._steps = self.ffi.new("struct ebpfasm_vm_step[]", len(steps))
        code = self.machine.code
        starts, landings = code.starts, code.landings
        for index, step in enumerate(steps):
            here = self._steps[index]
            each = step.instruction
            here.op, here.imm = _operation(step, operations)
            here.dst, here.src, here.off, here.target = each.dst, each.src, each.off, step.target
            here.reads = step.reads
            here.writes = step.writes | (_START if index in starts else 0)
            here.writes |= _LANDING if index in landings else 0
            if here.op == indirect:
                routine = code.routine(index)
                here.imm = routine.start << 32 | routine.end  # where it may go
        self._step_count = len(steps)
        self.vm.steps, self.vm.step_count = self._steps, len(steps)
        self.vm.tracked = not all_written(self.machine.code, self.machine.returns_value)

    def _mirror_maps(self) -> None:
        maps = self.machine.world.all_maps
        if self._maps is not None and len(self._mirrors) == len(maps):
            return
        self._maps = self.ffi.new("struct ebpfasm_vm_map[]", max(len(maps), 1))
        self._numbers = {each.region.number: index + 1 for index, each in enumerate(maps)}
        self._mirrors = [
            mirror_map(native_core(), each, self._maps[index]) for index, each in enumerate(maps)
        ]
        self.vm.maps = self._maps
        for each in maps if self._regions is not None else ():
            self._changed(each.region)

    def _grow(self, count: int) -> None:
        old, size = self._regions, self.vm.region_count
        self._regions = self.ffi.new("struct ebpfasm_vm_region[]", count)
        if old is not None:
            length = size * self.ffi.sizeof("struct ebpfasm_vm_region")
            self.ffi.memmove(self._regions, old, length)
        self.vm.regions, self.vm.region_count = self._regions, count

    def _changed(self, region: Region) -> None:
        number = region.number
        if number >= self.vm.region_count:
            self._grow(2 * number)
        if number == 0:
            return
        here = self._regions[number]
        kept = self._kept.get(number)
        if kept is None or kept[0] is not region.host:
            view = self.ffi.from_buffer("unsigned char[]", region.host)
            self._kept[number] = (region.host, view)
            here.host = view
        if region is self._packet.region and kept is not None:
            packet = self._packet
            places = packet.data, packet.data_end, packet.meta, packet.link
            self.lib.ebpfasm_vm_place(self.vm, region.base, *places)
            return
        here.base, here.low, here.high = region.base, region.low, region.high
        here.shift, here.size, here.stride = region.shift, region.size, region.stride
        here.flags = region.writable | (_CONTEXT if region.kind == "ctx" else 0)
        here.map = self._numbers.get(number, 0) if region.kind == "map" else 0

    # ---- runs

    def run(self, *arguments: int) -> int:
        """Run the program and return all 64 bits of r0. Raises VmError."""
        return self.run_from(self.machine.entry, *arguments)

    def run_from(self, start: int, *arguments: int) -> int:
        """Run a function of the program by itself, as a timer does. Raises VmError."""
        vm, world = self.vm, self.machine.world
        if len(self._mirrors) != len(world.all_maps):
            self._mirror_maps()
        self.tail_calls = 0
        vm.cpu, vm.now, vm.chance = world.cpu, world.now, world.chance
        try:
            if start == self.machine.entry:
                r1, r2 = (*arguments, 0, 0)[:2]
                status = self.lib.ebpfasm_vm_start(vm, len(arguments), r1, r2)
                if status != DONE:
                    self._go_on(status)
            else:
                vm.count, vm.depth, vm.at = 0, 0, start
                self._call(start, start, arguments)
            result = int(vm.registers[0])
            self.machine.end()
        except Fault as fault:
            raise stopped(fault, self._explainer().trail()) from None
        finally:
            world.chance = vm.chance
            if vm.depth or self._open:
                self._close_frames()
            self.machine.release()
        return result

    def _close_frames(self) -> None:
        """End what a run that was stopped left open."""
        for depth in range(self.vm.depth):
            self._regions[self.vm.first_frame + depth].high = 0
        self.vm.depth = 0
        self._show_frames()

    def _show_frames(self) -> None:
        """Let Python see the frames that are open in C."""
        if self._open != self.vm.depth:
            self._open = self.vm.depth
            for depth, region in enumerate(self.machine.frames):
                region.high = len(region.host) if depth < self._open else 0

    @property
    def count(self) -> int:
        """Instructions of the last run."""
        return int(self.vm.count)

    def places(self) -> tuple[int, ...]:
        """The addresses of the instructions that are running, the innermost call first."""
        vm = self.vm
        sites = [vm.at, *(vm.frames[index].site for index in range(vm.depth - 1, 0, -1))]
        return tuple(self.machine.code_region.element(at) for at in sites)

    def call(self, address: int, *arguments: int) -> int:
        """Run a callback for a helper."""
        vm = self.vm
        kept = vm.at, list(vm.registers), vm.known
        result = self._call(self.machine.function_at(address), vm.at, arguments)
        vm.at, vm.registers, vm.known = kept
        return result

    def _call(self, start: int, site: int, arguments: tuple[int, ...]) -> int:
        vm = self.vm
        if self.lib.ebpfasm_vm_enter(vm, start, site) != DONE:
            vm.at = site
            self._explainer().enter(start)
            raise AssertionError("the engines disagree about a call")
        for number, value in enumerate(arguments, 1):
            vm.registers[number] = value & _U64
        vm.known = (1 << len(arguments)) - 1 << 1 | 1 << 10
        self._go_on(self.lib.ebpfasm_vm_run(vm))
        return int(vm.registers[0])

    def _go_on(self, status: int) -> None:
        """Go on from what C came to until the function that Python called returns. Raises Fault."""
        vm, run = self.vm, self.lib.ebpfasm_vm_run
        while status == HELPER:
            self.call_helper()
            status = run(vm)
        if status == FAULT:
            self._explain()

    def call_helper(self) -> None:
        """Do what C handed back, and let it go on behind it. Raises Fault."""
        vm, world = self.vm, self.machine.world
        each = self.machine.code.steps[vm.at].instruction
        number = vm.registers[each.dst] if each.spec.form is Form.CALL_REG else each.imm
        self._show_frames()
        world.chance = vm.chance
        if each.spec.form is Form.CALL_KFUNC:
            result = call_kfunc(self.machine, kfunc_name(each), list(vm.registers[1:6]))
        elif number == TAIL_CALL and TAIL_CALL not in world.functions:
            if self._tail_call():
                return
            result = -2
        else:
            result = call_helper(self.machine, number, list(vm.registers[1:6]))
        vm.chance, vm.now, vm.cpu = world.chance, world.now, world.cpu
        vm.registers[0] = result & _U64
        vm.known = vm.known & ~CLOBBERED | 1
        vm.at += 1

    def _tail_call(self) -> bool:
        vm = self.vm
        target = self.machine.tail_target(vm.registers[2], vm.registers[3])
        self._mirror_steps()
        if target is None or self.tail_calls >= TAIL_CALLS:
            return False
        if vm.count >= vm.budget:
            self._explain()
        self.tail_calls += 1
        vm.frames[vm.depth - 1].loops = MAY_GOTO
        vm.known = 0b10 | 1 << 10
        vm.at = target
        return True

    # ---- faults

    def _explainer(self) -> Interpreter:
        """The reference engine in the state that C is in."""
        vm = self.vm
        reference = Interpreter(self.machine)
        self.machine.engine = self
        reference.at = vm.at
        reference.count = max(vm.count - 1, 0)
        reference.tail_calls = self.tail_calls
        reference.registers = list(vm.registers)
        reference.known = vm.known if vm.tracked else (1 << 11) - 1
        for index in range(min(vm.depth, DEPTH)):
            frame = vm.frames[index]
            kept = tuple(frame.kept)
            reference.frames.append(
                Frame(max(frame.back, -1), frame.site, kept, frame.known, frame.loops)
            )
        return reference

    def _explain(self) -> None:
        """Raise the Fault of the step that C stopped at."""
        self._show_frames()
        reference = self._explainer()
        reference.step()
        raise AssertionError(f"the engines disagree at step {self.vm.at}")

    # ---- many packets

    def batch(self, data: Any, offsets: Any, lengths: Any, retvals: Any, count: int) -> int | None:
        """Run the program on each of `count` packets in `data`; retvals gets what it returned.

        The buffers are C's: bytes, uint64_t, uint32_t and uint32_t. Returns the instructions
        run, None where this kind of program must be run packet by packet. Raises VmError.
        """
        vm, machine = self.vm, self.machine
        if machine.shape.struct not in ("xdp_md", "__sk_buff") or machine.packet_skip:
            return None
        if machine.reads_socket or machine.linked.type == "flow_dissector":
            return None
        machine.begin(b"", None)
        self._mirror_maps()
        template = self.ffi.new("unsigned char[]", bytes(machine.ctx.host))
        vm.ctx_template, vm.ctx_size = template, len(machine.ctx.host)
        vm.headroom = HEADROOM
        vm.room = len(machine.packet.buffer) - HEADROOM - SHARED_INFO
        vm.cpu, vm.now, vm.chance = machine.world.cpu, machine.world.now, machine.world.chance
        following = self.ffi.new("size_t *")
        run = self.lib.ebpfasm_vm_batch
        vm.total = 0
        try:
            while True:
                status = run(vm, data, offsets, lengths, count, following, retvals)
                if status == DONE:
                    break
                index = following[0]
                if status == TOO_LONG:
                    start = offsets[index]
                    packet = self.ffi.buffer(data + start, lengths[index])[:]
                    machine.begin(packet, None, fresh=False)
                    retvals[index] = self.run(machine.ctx.address) & 0xFFFFFFFF
                    vm.room = len(machine.packet.buffer) - HEADROOM - SHARED_INFO
                else:
                    retvals[index] = self._finish(status) & 0xFFFFFFFF
                vm.total += vm.count
                following[0] = index + 1
        except Fault as fault:
            raise stopped(fault, self._explainer().trail()) from None
        finally:
            machine.world.chance = vm.chance
            self._close_frames()
            machine.release()
        return int(vm.total)

    def _finish(self, status: int) -> int:
        """Bring a packet's run to its end that C began."""
        self.machine.packet.adopt(self.vm.data, self.vm.data_end, self.vm.meta)
        self.tail_calls = 0
        self._go_on(status)
        result = int(self.vm.registers[0])
        self.machine.end()
        self.machine.release()
        self.machine.packet.clean()
        self.machine.world.consume()
        return result


def _operation(step: Step, operations: dict[str, int]) -> tuple[int, int]:
    """C's operation for a step, and its immediate."""
    spec = step.instruction.spec
    if step.fault is not None:
        return operations["trap"], 0
    match spec.form:
        case Form.LOAD_IMM64 | Form.LOAD_PSEUDO:
            return operations["mov64_imm"], _signed(step.value)
        case Form.JUMP_LONG:
            return operations["ja"], 0
        case Form.SWAP:
            swaps = spec.op == "bswap" or (spec.op == "be") == (sys.byteorder == "little")
            return operations[f"{'swap' if swaps else 'cut'}{spec.width}"], 0
        case Form.CAST:
            return operations["mov64_reg"], 0
        case Form.CALL_KFUNC:
            return operations["call_helper"], -1
        case Form.LOAD_ACQUIRE:
            return operations[f"ldx{_SIZES[spec.width]}"], 0
        case Form.STORE_RELEASE:
            return operations[f"stx{_SIZES[spec.width]}"], 0
        case _:
            return operations[spec.name], step.instruction.imm


_SIZES = {8: "b", 16: "h", 32: "w", 64: "dw"}


def _signed(value: int) -> int:
    return (value ^ 1 << 63) - (1 << 63)


def packets_of(core: Any, packets: Sequence[bytes]) -> tuple[Any, Any, Any]:
    """Packets in a row, with offsets and lengths, as `batch` takes them."""
    offsets = core.ffi.new("uint64_t[]", max(len(packets), 1))
    lengths = core.ffi.new("uint32_t[]", max(len(packets), 1))
    place = 0
    for index, each in enumerate(packets):
        offsets[index], lengths[index] = place, len(each)
        place += len(each)
    return core.ffi.from_buffer("unsigned char[]", b"".join(packets)), offsets, lengths
