"""The reference engine: a plain interpreter, which asks isa.semantics what every operation does.

It is slow and simple on purpose. The native engine gives the same results, and tests hold both
against each other and against the kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ebpfasm.analysis.vm.code import ARGUMENTS, FRAME_POINTER, Step, kfunc_name
from ebpfasm.analysis.vm.faults import Fault, Place, stopped
from ebpfasm.analysis.vm.helpers import call_helper
from ebpfasm.analysis.vm.kfuncs import call_kfunc
from ebpfasm.analysis.vm.machine import DEPTH, FRAME, MAY_GOTO, TAIL_CALLS, Machine
from ebpfasm.analysis.vm.memory import PLACE
from ebpfasm.isa import semantics
from ebpfasm.isa.forms import Form

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1
TAIL_CALL = 12  # bpf_tail_call
CLOBBERED = 0b111110  # r1 to r5, by a call

Observer = Callable[["Interpreter", int], None]


@dataclass(slots=True)
class Frame:
    """An active function: where it goes back to, and what the caller kept in r6 to r9."""

    back: int  # the step behind the call; -1 hands control back to Python
    site: int  # the call
    kept: tuple[int, ...]
    known: int
    loops: int = MAY_GOTO


class Interpreter:
    """The registers and frames of one machine.

    `known` has a bit for each register that was written. `observer`, if there is one, is called
    before each instruction with its step.
    """

    def __init__(self, machine: Machine, observer: Observer | None = None) -> None:
        self.machine = machine
        self.memory = machine.memory
        self.observer = observer
        self.registers = [0] * 11
        self.known = 0
        self.frames: list[Frame] = []
        self.at = 0
        self.following = 0
        self.count = 0
        self.tail_calls = 0
        machine.engine = self

    def run(self, *arguments: int) -> int:
        """Run the program from its first instruction and return all 64 bits of r0.

        Raises VmError where it does what it must not, at its own line.
        """
        return self.run_from(self.machine.entry, *arguments)

    def run_from(self, start: int, *arguments: int) -> int:
        """Run a function of the program by itself, as a timer does. Raises VmError."""
        self.count = self.tail_calls = 0
        self.frames.clear()
        try:
            result = self._call(start, arguments)
            self.machine.end()
        except Fault as fault:
            raise stopped(fault, self.trail()) from None
        finally:
            self.machine.release()
            self.frames.clear()
            for region in self.machine.frames:
                if region.high:
                    region.high = 0
                    self.memory.changed(region)
        return result

    def trail(self) -> tuple[Place, ...]:
        """The backtrace, innermost first."""
        sites = [frame.site for frame in reversed(self.frames[1:])]
        return tuple(self.machine.code.place(at) for at in (self.at, *sites))

    def places(self) -> tuple[int, ...]:
        """The addresses of the instructions that are running, the innermost call first."""
        sites = [self.at, *(frame.site for frame in reversed(self.frames[1:]))]
        return tuple(self.machine.code_region.element(at) for at in sites)

    def call(self, address: int, *arguments: int) -> int:
        """Run a callback for a helper."""
        kept = (self.at, self.following, list(self.registers), self.known)
        result = self._call(self.machine.function_at(address), arguments)
        self.at, self.following, self.registers, self.known = kept
        return result

    def _call(self, start: int, arguments: tuple[int, ...]) -> int:
        self.enter(start, -1)
        for number, value in enumerate(arguments, 1):
            self.registers[number] = value & U64
        self.known = (1 << len(arguments)) - 1 << 1 | 1 << FRAME_POINTER
        depth = len(self.frames)
        self.at = start
        while True:
            self.step()
            if len(self.frames) < depth:
                return self.registers[0]
            self.at = self.following

    def step(self) -> None:
        """Run the instruction at `at`; `following` is the next one then. Raises Fault."""
        step = self.machine.code.steps[self.at]
        if self.observer is not None:
            self.observer(self, self.at)
        if step.fault is not None:
            raise step.fault
        self._check_known(step.reads)
        self.count += 1
        self.following = self.at + 1
        _HANDLERS[step.instruction.spec.form](self, step)
        self.known |= step.writes

    def _check_known(self, reads: int) -> None:
        missing = reads & ~self.known
        if missing:
            number = (missing & -missing).bit_length() - 1
            raise Fault("vm-uninit", f"reads r{number}, which holds nothing yet")

    def _goto(self, target: int) -> None:
        self._spend()
        self.following = target

    def _spend(self) -> None:
        if self.count >= self.machine.budget:
            hint = "look for a loop without an end, or give a larger budget"
            raise Fault("vm-budget", f"goes on after {self.machine.budget} instructions", hint)

    def enter(self, start: int, back: int = -1) -> None:
        """Open a frame for the function at `start`. Raises Fault where there are too many."""
        if len(self.frames) >= DEPTH:
            raise Fault("vm-call-depth", f"calls more than {DEPTH} functions deep")
        self._spend()
        region = self.machine.frames[len(self.frames)]
        region.host[:] = bytes(FRAME)
        region.high = FRAME
        self.memory.changed(region)
        self.frames.append(Frame(back, self.at, tuple(self.registers[6:11]), self.known))
        self.registers[FRAME_POINTER] = region.address + FRAME
        self.following = start

    def _leave(self) -> None:
        self._spend()
        frame = self.frames.pop()
        region = self.machine.frames[len(self.frames)]
        region.high = 0
        self.memory.changed(region)
        self.registers[6:11] = frame.kept
        self.known = frame.known & ~CLOBBERED & ~1 | self.known & 1
        if frame.back >= 0:
            self.following = frame.back

    # ---- memory

    def _load(self, address: int, length: int) -> int:
        region = self.memory.find(address)
        if region is self.machine.ctx:
            place = region.place(address, length)
            pointer = None if place is None else self.machine.load_ctx(place, length)
            if pointer is not None:
                return pointer
        return int.from_bytes(self.memory.view(address, length), sys.byteorder)

    def _store(self, address: int, value: int, length: int) -> None:
        content = (value & (1 << 8 * length) - 1).to_bytes(length, sys.byteorder)
        if address >> PLACE == self.machine.ctx.number:
            place = self.machine.ctx.place(address, length)
            if place is not None and not self.machine.shape.may_write(place, length):
                raise Fault("vm-read-only", f"writes ctx + {place}, a field that can only be read")
        self.memory.write(address, content)

    # ---- arithmetic

    def _set(self, step: Step, value: int) -> None:
        self.registers[step.instruction.dst] = value

    def _alu(self, step: Step, operand: int) -> None:
        each = step.instruction
        old = self.registers[each.dst]
        self._set(step, semantics.alu(each.spec.op, old, operand, each.spec.width))

    def _alu_imm(self, step: Step) -> None:
        self._alu(step, step.instruction.imm & U64)

    def _alu_reg(self, step: Step) -> None:
        self._alu(step, self.registers[step.instruction.src])

    def _neg(self, step: Step) -> None:
        self._alu(step, 0)

    def _movsx(self, step: Step) -> None:
        each = step.instruction
        width = each.spec.fixed_fields["off"]
        self._set(step, semantics.sign_extend(self.registers[each.src], width, each.spec.width))

    def _swap(self, step: Step) -> None:
        each = step.instruction
        little = sys.byteorder == "little"
        value = semantics.byte_order(
            each.spec.op, self.registers[each.dst], each.spec.width, little_endian_host=little
        )
        self._set(step, value)

    def _cast(self, step: Step) -> None:
        # An arena's address is the same for the program and for user space here.
        self._set(step, self.registers[step.instruction.src])

    def _load_imm64(self, step: Step) -> None:
        self._set(step, step.value)

    # ---- jumps and calls

    def _jump(self, step: Step) -> None:
        self._goto(step.target)

    def _jump_address(self, step: Step) -> None:
        address = self.registers[step.instruction.dst]
        self._goto(self.machine.landing_at(address, self.at))

    def _jump_if(self, step: Step, operand: int) -> None:
        each = step.instruction
        if semantics.compare(each.spec.op, self.registers[each.dst], operand, each.spec.width):
            self._goto(step.target)

    def _jump_imm(self, step: Step) -> None:
        self._jump_if(step, step.instruction.imm & U64)

    def _jump_reg(self, step: Step) -> None:
        self._jump_if(step, self.registers[step.instruction.src])

    def _may_goto(self, step: Step) -> None:
        frame = self.frames[-1]
        if frame.loops == 0:
            self._goto(step.target)
        else:
            frame.loops -= 1

    def _call_local(self, step: Step) -> None:
        if self.machine.code.steps[step.target].fault is not None:
            self._goto(step.target)
            return
        self.enter(step.target, self.at + 1)
        self.known = self.known & CLOBBERED | 1 << FRAME_POINTER

    def _call_reg(self, step: Step) -> None:
        address = self.registers[step.instruction.dst]
        if address >> PLACE == 0:
            self._help(address)  # no address but the number of a helper, as uBPF has it
            return
        start = self.machine.function_at(address)
        self.enter(start, self.at + 1)
        self.known = self.known & CLOBBERED | 1 << FRAME_POINTER

    def _call_helper(self, step: Step) -> None:
        self._help(step.instruction.imm)

    def _call_kfunc(self, step: Step) -> None:
        arguments = self.registers[1 : 1 + ARGUMENTS]
        self.registers[0] = call_kfunc(self.machine, kfunc_name(step.instruction), arguments) & U64
        self.known = self.known & ~CLOBBERED | 1

    def _help(self, number: int) -> None:
        if number == TAIL_CALL and TAIL_CALL not in self.machine.world.functions:
            if self._tail_call():
                return
            result = -2 & U64  # the kernel leaves r0 to chance; a number that looks wrong is kinder
        else:
            arguments = self.registers[1 : 1 + ARGUMENTS]
            result = call_helper(self.machine, number, arguments) & U64
        self.registers[0] = result
        self.known = self.known & ~CLOBBERED | 1

    def _tail_call(self) -> bool:
        """Go on in another program, in the same frame."""
        target = self.machine.tail_target(self.registers[2], self.registers[3])
        if target is None or self.tail_calls >= TAIL_CALLS:
            return False
        self.tail_calls += 1
        self.known = 0b10 | 1 << FRAME_POINTER
        self.frames[-1].loops = MAY_GOTO
        self._goto(target)
        return True

    def _exit(self, step: Step) -> None:
        if self.frames[-1].back < 0 and self.machine.returns_value:
            self._check_known(1)
        self._leave()

    # ---- loads, stores, atomics

    def _load_memory(self, step: Step) -> None:
        each = step.instruction
        value = self._load(self.registers[each.src] + each.off & U64, each.spec.width // 8)
        if each.spec.op == "ldxs":
            value = semantics.sign_extend(value, each.spec.width, 64)
        self._set(step, value)

    def _store_reg(self, step: Step) -> None:
        each = step.instruction
        address = self.registers[each.dst] + each.off & U64
        self._store(address, self.registers[each.src], each.spec.width // 8)

    def _store_imm(self, step: Step) -> None:
        each = step.instruction
        self._store(self.registers[each.dst] + each.off & U64, each.imm & U64, each.spec.width // 8)

    def _atomic(self, step: Step) -> int:
        each = step.instruction
        address = self.registers[each.dst] + each.off & U64
        length = each.spec.width // 8
        view = self._atomic_view(address, length)
        old = int.from_bytes(view, sys.byteorder)
        new = semantics.atomic(each.spec.op, old, self.registers[each.src], each.spec.width)
        view[:] = new.to_bytes(length, sys.byteorder)
        return old

    def _atomic_view(self, address: int, length: int) -> memoryview:
        if address >> PLACE == self.machine.ctx.number:
            raise Fault("vm-memory", "uses an atomic operation on ctx")
        return self.memory.view(address, length, write=True)

    def _fetch(self, step: Step) -> None:
        self.registers[step.instruction.src] = self._atomic(step)

    def _compare_exchange(self, step: Step) -> None:
        each = step.instruction
        length = each.spec.width // 8
        view = self._atomic_view(self.registers[each.dst] + each.off & U64, length)
        old = int.from_bytes(view, sys.byteorder)
        low = semantics.mask(each.spec.width)
        if old == self.registers[0] & low:
            view[:] = (self.registers[each.src] & low).to_bytes(length, sys.byteorder)
        self.registers[0] = old

    # ---- packets, the classic way

    def _load_packet(self, step: Step) -> None:
        each = step.instruction
        index = self.registers[each.src] if each.spec.form is Form.LOAD_IND else 0
        offset = semantics.signed(index + each.imm & U32, 32)
        content = self.machine.classic_load(self.registers[6], offset, each.spec.width // 8)
        self.known &= ~CLOBBERED
        if content is None:
            self.registers[0] = 0
            self.known |= 1
            self._leave()
        else:
            self.registers[0] = int.from_bytes(content, "big")


_HANDLERS: dict[Form, Callable[[Interpreter, Step], Any]] = {
    Form.ALU_IMM: Interpreter._alu_imm,
    Form.ALU_REG: Interpreter._alu_reg,
    Form.MOV_IMM: Interpreter._alu_imm,
    Form.MOV_REG: Interpreter._alu_reg,
    Form.NEG: Interpreter._neg,
    Form.MOVSX: Interpreter._movsx,
    Form.CAST: Interpreter._cast,
    Form.SWAP: Interpreter._swap,
    Form.JUMP: Interpreter._jump,
    Form.JUMP_LONG: Interpreter._jump,
    Form.JUMP_REG: Interpreter._jump_address,
    Form.JCOND_IMM: Interpreter._jump_imm,
    Form.JCOND_REG: Interpreter._jump_reg,
    Form.MAY_GOTO: Interpreter._may_goto,
    Form.CALL_HELPER: Interpreter._call_helper,
    Form.CALL_LOCAL: Interpreter._call_local,
    Form.CALL_KFUNC: Interpreter._call_kfunc,
    Form.CALL_REG: Interpreter._call_reg,
    Form.EXIT: Interpreter._exit,
    Form.LOAD_IMM64: Interpreter._load_imm64,
    Form.LOAD_PSEUDO: Interpreter._load_imm64,
    Form.LOAD: Interpreter._load_memory,
    Form.STORE_REG: Interpreter._store_reg,
    Form.STORE_IMM: Interpreter._store_imm,
    Form.ATOMIC: Interpreter._atomic,
    Form.FETCH: Interpreter._fetch,
    Form.XCHG: Interpreter._fetch,
    Form.XCHG32: Interpreter._fetch,
    Form.CMPXCHG: Interpreter._compare_exchange,
    Form.CMPXCHG32: Interpreter._compare_exchange,
    Form.LOAD_ACQUIRE: Interpreter._load_memory,
    Form.STORE_RELEASE: Interpreter._store_reg,
    Form.LOAD_ABS: Interpreter._load_packet,
    Form.LOAD_IND: Interpreter._load_packet,
}
