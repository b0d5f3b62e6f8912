"""What an instruction does to a state. Nothing here judges; requirements.py says what must hold."""

from __future__ import annotations

from collections.abc import Callable

from ebpfasm.analysis.values import (
    FRAME_POINTER,
    STACK,
    Number,
    Pointer,
    State,
    Unknown,
    Value,
)
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.references import FunctionRef, MapRef, VarRef
from ebpfasm.isa import helpers, semantics
from ebpfasm.isa.forms import Form

Returns = Callable[[Instruction], bool]  # whether a call of a subprogram leaves r0 readable

ARGUMENTS = range(1, 6)
CALLS = frozenset({Form.CALL_HELPER, Form.CALL_LOCAL, Form.CALL_KFUNC, Form.CALL_REG})


def apply(each: Instruction, state: State, identity: int, returns: Returns) -> State:
    """The state after an instruction.

    `identity` names the value that it makes, if nothing is known of it; 0 gives it no name,
    which is right where states of several paths are joined.
    """
    if each.spec.form in CALLS:
        return _after_call(each, state, identity, returns)
    value = _result(each, state, identity)
    state = _after_store(each, state)
    for register in each.registers("x"):
        state = state.with_register(register, None)
    for register in each.registers("w"):
        # A write to r10 is refused, and nothing of what follows should be blamed for it.
        if register != FRAME_POINTER:
            state = state.with_register(register, value)
    return state


def _result(each: Instruction, state: State, identity: int) -> Value:
    """The value of the register that an instruction writes; anything if it writes none."""
    spec = each.spec
    unknown = Unknown(identity, _most(each))
    if each.ref is not None:
        # CO-RE relocations and kernel addresses are known only where the program is loaded.
        match each.ref:
            case MapRef() | VarRef():
                return Pointer("map")
            case FunctionRef():
                return Pointer("function")
            case _:
                return unknown
    match spec.form:
        case Form.MOV_IMM | Form.LOAD_IMM64:
            return Number(each.imm & semantics.mask(spec.width))
        case Form.LOAD_PSEUDO if spec.op.startswith("lddw_map"):
            return Pointer("map")
        case Form.MOV_REG:
            return _moved(state[each.src], spec.width) or unknown
        case Form.ALU_IMM:
            return _arithmetic(each, state[each.dst], Number(each.imm)) or unknown
        case Form.ALU_REG:
            return _arithmetic(each, state[each.dst], state[each.src]) or unknown
        case Form.NEG:
            return _arithmetic(each, state[each.dst], Number(0)) or unknown
        case Form.MOVSX:
            match state[each.src]:
                case Number(value=number):
                    bits = spec.fixed_fields["off"]
                    return Number(semantics.sign_extend(number, bits, spec.width))
                case _:
                    return unknown
        case Form.LOAD:
            return _filled(each, state) or unknown
        case _:
            return unknown


def _most(each: Instruction) -> int:
    """The greatest number that the result can be, whatever the operands are."""
    spec = each.spec
    match spec.form:
        case Form.LOAD if spec.op == "ldx":
            return semantics.mask(spec.width)
        case Form.LOAD | Form.LOAD_ABS | Form.LOAD_IND:
            return semantics.mask(64)
        case Form.ALU_IMM if spec.op == "and" and each.imm >= 0 and each.ref is None:
            return each.imm
        case Form.ALU_IMM if spec.op == "rsh" and 0 <= each.imm < spec.width:
            return semantics.mask(spec.width - each.imm)
        case _:
            return semantics.mask(spec.width)


def _moved(value: Value | None, width: int) -> Value | None:
    if width == 64:
        return value
    match value:
        case Number(value=number):
            return Number(number & semantics.mask(32))
        case Unknown(most=most) if most <= semantics.mask(32):
            return value
        case _:
            return None


def _arithmetic(each: Instruction, left: Value | None, right: Value | None) -> Value | None:
    match left, right:
        case Number(), Number():
            return Number(semantics.alu(each.spec.op, left.value, right.value, each.spec.width))
        case Pointer(kind="stack", offset=offset), _ if each.spec.width == 64:
            return Pointer("stack", _moved_offset(each.spec.op, offset, right))
        case _:
            return None


def _moved_offset(op: str, offset: int | None, by: Value | None) -> int | None:
    match by:
        case Number(value=number) if offset is not None and op in ("add", "sub"):
            distance = semantics.signed(number, 64)
            return offset + (distance if op == "add" else -distance)
        case _:
            return None


def _filled(each: Instruction, state: State) -> Value | None:
    match state[each.src]:
        case Pointer(kind="stack", offset=int(offset)) if each.spec.width == 64:
            return state.slot(offset + each.off)
        case _:
            return None


def _after_store(each: Instruction, state: State) -> State:
    match each.spec.form:
        case Form.STORE_REG | Form.STORE_IMM | Form.STORE_RELEASE:
            pass
        case Form.ATOMIC | Form.FETCH | Form.XCHG | Form.XCHG32 | Form.CMPXCHG | Form.CMPXCHG32:
            pass
        case _:
            return state
    match state[each.dst]:
        case Pointer(kind="stack", offset=None):
            return _forget(state)
        case Pointer(kind="stack", offset=int(base)):
            return _stored(each, state, base + each.off)
        case _:
            return state  # no other pointer leads to this frame


def _stored(each: Instruction, state: State, offset: int) -> State:
    value: Value | None = None
    if each.spec.width == 64 and each.spec.form is Form.STORE_REG:
        value = state[each.src]
    elif each.spec.width == 64 and each.spec.form is Form.STORE_IMM and each.ref is None:
        value = Number(each.imm & semantics.mask(64))
    if value is None:
        return state.without_slots(offset, offset + each.spec.width // 8)
    return state.with_slot(offset, value)


def _after_call(each: Instruction, state: State, identity: int, returns: Returns) -> State:
    state = _after_callee_wrote(each, state)
    for register in each.registers("x"):
        state = state.with_register(register, None)
    written = _leaves_result(each, returns)
    return state.with_register(0, Unknown(identity) if written else None)


def _leaves_result(each: Instruction, returns: Returns) -> bool:
    match each.spec.form:
        case Form.CALL_LOCAL:
            return returns(each)
        case Form.CALL_HELPER:
            helper = helpers.find(each.imm)
            return helper is None or helper.returns != "void"
        case _:
            return True


def _after_callee_wrote(each: Instruction, state: State) -> State:
    """Forget what may have been written through a pointer to this frame.

    A helper writes upwards from the address that it is given; a function, even one that the
    helper calls back, may go anywhere in the frame.
    """
    passed = [state[register] for register in ARGUMENTS]
    upwards = each.spec.form is Form.CALL_HELPER and Pointer("function") not in passed
    for value in passed:
        match value:
            case Pointer(kind="stack", offset=int(offset)) if upwards:
                state = _forget(state, offset)
            case Pointer(kind="stack"):
                state = _forget(state)
            case _:
                pass
    return state


def _forget(state: State, low: int = -STACK) -> State:
    return state.without_slots(low, STACK)
