"""The instructions of one program or function as they are written: checked one by one, kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self, assert_never

from ebpfasm.dsl.findings import Findings, did_you_mean
from ebpfasm.dsl.operands import Register, bounds, signed, wanted
from ebpfasm.dsl.place import Call, called
from ebpfasm.errors import LineSpan, Note
from ebpfasm.ir import (
    FunctionRef,
    Instruction,
    Item,
    Label,
    LabelRef,
    MapSpec,
    Reference,
)
from ebpfasm.isa import codec, contexts, helpers
from ebpfasm.isa.forms import RANGES, Operand
from ebpfasm.isa.table import BY_NAME, InstructionSpec


class Stream:
    """What the methods of `Code` stand on: the list of items, and the checks of operands.

    A mistake is reported and its operand taken as 0, so that the lines after it are checked
    too; `Builder.build` fails for all of them together.
    """

    __slots__ = (
        "_ended",
        "_findings",
        "_items",
        "_labels",
        "kind",
        "name",
        "span",
        "tables",
    )

    def __init__(self, kind: str, name: str, span: LineSpan, findings: Findings) -> None:
        self.kind = kind
        self.name = name
        self.span = span
        self._findings = findings
        self._items: list[Item] = []
        self._labels: dict[str, Label] = {}
        self._ended: LineSpan | None = None
        self.tables: list[MapSpec] = []  # its jump tables

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = called().span

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}, {len(self.items)} items>"

    @property
    def items(self) -> tuple[Item, ...]:
        """What was written so far."""
        return tuple(self._items)

    def label(self, name: str) -> None:
        """Place a label here. Several may share a place; a name is placed once."""
        call = self._call()
        if not self._findings.check_name("label", name, call.span):
            return
        label = Label(name, call.span)
        first = self._labels.setdefault(name, label)
        if first is not label:
            message = f"label {name!r} is placed twice"
            notes = (Note("it was placed first here", first.span),)
            self._findings.report("dsl-label", message, call.span, notes=notes)
        self._items.append(label)

    def emit(self, instruction: Instruction) -> None:
        """Append an instruction that was made elsewhere, with its own span if it has one.

        The way out where no method says what you want. Fields are checked against the table.
        """
        call = self._call()
        given: object = instruction
        if not isinstance(given, Instruction):
            message = f"emit takes an ebpfasm.ir.Instruction, not {given!r}"
            self._findings.report("dsl-operand", message, call.span)
            return
        for wrong in codec.check(*instruction.fields):
            self._findings.report("dsl-range", wrong.message, call.span)
        span = instruction.span or call.span
        self._items.append(replace(instruction, span=span))

    def _call(self) -> Call:
        """The user's call that is being served; a report where this stream has ended."""
        call = called()
        self._findings.check_open(call)
        if self._ended is not None:
            message = f"{call.method} comes after the end of {self.kind} {self.name!r}"
            notes = (Note("its with block is here", self._ended),)
            self._findings.report("dsl-unfinished", message, call.span, notes=notes)
        return call

    def _put(
        self,
        row: str,
        *,
        dst: object = 0,
        src: object = 0,
        off: object = 0,
        imm: object = 0,
        ref: Reference | None = None,
    ) -> None:
        """Check the operands that the row's form has and append the instruction."""
        spec = BY_NAME[row]
        call = self._call()
        given = {"dst": dst, "src": src, "off": off, "imm": imm}
        fields = {
            operand.field: self._checked(spec, operand, given[operand.field], call)
            for operand in spec.form.operands
            if operand.field in given
        }
        dst, src, off, imm = (fields.get(name, 0) for name in given)
        self._items.append(Instruction(spec, dst, src, off, imm, ref, call.span))

    def _put_operand(self, op: str, dst: Register, operand: object, target: object = 0) -> None:
        """Choose between an operation's immediate and register row by the operand's type."""
        off, ref = _target(target)
        if isinstance(operand, Register):
            self._put(f"{op}_reg", dst=dst, src=operand, off=off, ref=ref)
        else:
            self._put(f"{op}_imm", dst=dst, imm=operand, off=off, ref=ref)

    def _checked(self, spec: InstructionSpec, operand: Operand, value: object, call: Call) -> int:
        match operand.kind:
            case "value" | "base":
                name = "base" if operand.kind == "base" else operand.field
                return self._register(name, value, call)
            case "off":
                return self._offset(value, call)
            case "imm32" | "imm64" | "target":
                name, what = wanted(spec, operand)
                low, high = bounds(spec, operand)
                hint = "load it into a register with lddw" if spec.name.endswith("64_imm") else None
                checked = self._number(name, value, low, high, call, what=what, hint=hint)
                return signed(operand, checked)
            case "implicit":
                return 0
            case _:
                assert_never(operand.kind)

    def _register(self, name: str, value: object, call: Call) -> int:
        if isinstance(value, Register):
            return value.value
        message = f"{call.method}: {name} must be a register, not {value!r}"
        hint = "the registers are R0 to R10"
        if isinstance(value, int) and 0 <= value < codec.REGISTERS:
            hint = f"write R{value:d}"
        self._findings.report("dsl-operand", message, call.span, hint=hint)
        return 0

    def _offset(self, value: object, call: Call) -> int:
        if isinstance(value, str):
            return self._context_field(value, call)
        low, high = RANGES["off"]
        return self._number("off", value, low, high, call, what="an int or a context's field")

    def _context_field(self, path: str, call: Call) -> int:
        found = contexts.field(path)
        if found is not None:
            return found.offset
        message = f"{call.method}: there is no context field {path!r}"
        hint = did_you_mean(*_field_and_neighbours(path))
        self._findings.report("dsl-symbol", message, call.span, hint=hint)
        return 0

    def _number(
        self,
        name: str,
        value: object,
        low: int,
        high: int,
        call: Call,
        *,
        what: str = "an int",
        hint: str | None = None,
    ) -> int:
        """The value as a plain int from low to high; 0, and a report, where it is none."""
        if not isinstance(value, int):
            message = f"{call.method}: {name} must be {what}, not {value!r}"
            self._findings.report("dsl-operand", message, call.span)
            return 0
        if not low <= value <= high:
            message = f"{call.method}: {name} = {value:d} is outside {low} to {high}"
            self._findings.report("dsl-range", message, call.span, hint=hint)
            return 0
        return int(value)  # an IntEnum's member would print as its name

    def _bits(self, name: str, value: object, bits: int) -> int:
        """An unsigned number that has a part of a field to itself."""
        return self._number(name, value, 0, (1 << bits) - 1, called())

    def _jump(self, row: str, field: Literal["off", "imm"], target: object) -> None:
        distance, ref = _target(target)
        if field == "off":
            self._put(row, off=distance, ref=ref)
        else:
            self._put(row, imm=distance, ref=ref)

    def _function(self, row: str, function: object, dst: object = 0) -> None:
        """Name a function of the builder, or give its distance in slots."""
        ref = FunctionRef(function) if isinstance(function, str) else None
        self._put(row, dst=dst, imm=0 if ref else function, ref=ref)

    def _helper(self, helper: object) -> object:
        """A helper's number; other names are explained when all functions are known."""
        if not isinstance(helper, str):
            return helper
        found = helpers.find(helper)
        if found is not None:
            return found.id
        self._findings.unknown_helpers.append((helper, called().span))
        return 0

    def _map_name(self, map: object) -> str | None:
        """The name of a map of this builder; None, and a report, where none is given."""
        match map:
            case MapSpec(name=name) | str(name):
                return name
            case _:
                call = called()
                message = f"{call.method}: map must be a map or its name, not {map!r}"
                self._findings.report("dsl-operand", message, call.span)
                return None


def _field_and_neighbours(path: str) -> tuple[str, list[str]]:
    """What is wrong in a path, the field or already the struct, and the names it could be."""
    name = path.partition(".")[0]
    struct = contexts.struct(name)
    if struct is None:
        return name, list(contexts.STRUCTS)
    return path, [f"{name}.{each.name}" for each in struct.fields]


def _target(target: object) -> tuple[object, LabelRef | None]:
    return (0, LabelRef(target)) if isinstance(target, str) else (target, None)
