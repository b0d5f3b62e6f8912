"""Source lines and types for the kernel: BTF with func_info and line_info for a program.

With them the verifier's log, `bpftool prog dump xlated linum` and profilers show the user's
own lines. The rules are those of the kernel's `check_btf_func` and `check_btf_line`
(kernel/bpf/check_btf.c): a function's first instruction has a record in both tables, records
lie in order of the slots, and none lies on the second slot of a 64-bit immediate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ebpfasm.btf import codec
from ebpfasm.btf.ext import (
    FUNC_INFO_SIZE,
    LINE_INFO_SIZE,
    MAX_COLUMN,
    MAX_LINE,
    FuncInfo,
    LineInfo,
    pack_func_info,
    pack_line_info,
)
from ebpfasm.btf.strings import StringTable
from ebpfasm.btf.types import (
    Array,
    Btf,
    BtfType,
    Func,
    FuncLinkage,
    FuncProto,
    Int,
    IntEncoding,
    Param,
    Ptr,
    Struct,
)
from ebpfasm.emit.text import identifier
from ebpfasm.errors import BtfError, Location
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.kinds import MAP_TYPES, PROGRAM_TYPES

# KSYM_NAME_LEN of kernels before 6.1 is 128, with the final zero byte.
_NAME_LENGTH = 127

# BTF_MAX_SIZE, bytes: the kernel takes no larger BTF.
_MAX_BTF = 16 << 20


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """What `bpf(2)` takes with a program; `line_info` is empty if no line is known."""

    btf: bytes
    func_info: bytes
    line_info: bytes
    func_info_rec_size: int = FUNC_INFO_SIZE
    line_info_rec_size: int = LINE_INFO_SIZE

    @property
    def func_info_cnt(self) -> int:
        """How many records `func_info` holds."""
        return len(self.func_info) // self.func_info_rec_size

    @property
    def line_info_cnt(self) -> int:
        """How many records `line_info` holds."""
        return len(self.line_info) // self.line_info_rec_size


def debug_info(linked: LinkedProgram, *, byteorder: ByteOrder = "little") -> DebugInfo:
    """Describe a program's functions and, where instructions have spans, their lines.

    Never fails for want of lines: an instruction without a span belongs to the line before.
    A function whose first instruction has none begins at its own span, else at line 0. Where
    the lines' texts would make the BTF larger than the kernel takes, they are left out.
    """
    try:
        found = _describe(linked, byteorder, texts=True)
        too_large = len(found.btf) > _MAX_BTF
    except BtfError:  # the string table is full
        too_large = True
    return _describe(linked, byteorder, texts=False) if too_large else found


def _describe(linked: LinkedProgram, byteorder: ByteOrder, *, texts: bool) -> DebugInfo:
    strings = StringTable()
    lines = Lines(strings, texts)
    line_info = pack_line_info(lines.of(linked), byteorder)
    types, ids = _function_types(linked)
    functions = zip(linked.functions, ids, strict=True)
    func_info = pack_func_info((FuncInfo(each.slot, id) for each, id in functions), byteorder)
    return DebugInfo(codec.encode(Btf(types), byteorder, strings=strings), func_info, line_info)


INT = Int("int", 4, 32, IntEncoding.SIGNED)


def context_type(program_type: str) -> BtfType:
    """What the first parameter of a program points to."""
    row = PROGRAM_TYPES.by_name.get(program_type)
    context = row.context if row is not None else None
    # The kernel knows a context by the struct's name alone. Where the context is no struct, a
    # pointer to a number is what it can size: `void *` puts a complaint into every log.
    return Struct(context, 0, ()) if context else Int("u64", 8, 64)


def _function_types(linked: LinkedProgram) -> tuple[tuple[BtfType, ...], list[int]]:
    """`int NAME(CONTEXT *ctx)` for the program, `int NAME(void)` for each subprogram.

    The kernel compares a static function's parameters with nothing; what it asks of every
    function is an integer result, or legacy packet loads and tail calls are refused there.
    """
    types: list[BtfType] = [
        INT,
        context_type(linked.type),
        Ptr(2),
        FuncProto(1, (Param("ctx", 3),)),
    ]
    main, *subprograms = linked.functions
    if subprograms:
        types.append(FuncProto(1))
    first = len(types) + 1
    types.append(Func(btf_name(main.name), 4, FuncLinkage.GLOBAL))
    types += [Func(btf_name(each.name), 5, FuncLinkage.STATIC) for each in subprograms]
    return tuple(types), list(range(first, len(types) + 1))


def btf_name(name: str) -> str:
    """A function's name as every kernel's BTF takes it."""
    # Dots came to functions' names in 6.6; an identifier is good for every kernel.
    return identifier(name)[:_NAME_LENGTH]


class Lines:
    """Makes line records, and adds the texts that they name to the strings."""

    def __init__(self, strings: StringTable, texts: bool) -> None:
        self._strings = strings
        self._texts = texts

    def of(self, linked: LinkedProgram) -> list[LineInfo]:
        """The records of a whole program, none if no instruction has a place."""
        if all(each.span is None for each in linked.instructions):
            return []
        spans = _function_spans(linked)
        records: list[LineInfo] = []
        for slot, each in linked.slots():
            span = each.span or spans.get(slot)
            if span is None and slot not in spans:
                continue
            record = self._record(slot, span)
            # One record is enough for a run of instructions from one place.
            if slot in spans or not records or _place(record) != _place(records[-1]):
                records.append(record)
        return records

    def _record(self, slot: int, span: Location | None) -> LineInfo:
        if span is None or span.line > MAX_LINE:
            return LineInfo(slot, self._text("" if span is None else span.name), 0, 0, 0)
        line = self._text(span.line_text) if self._texts else 0
        column = span.column if span.column <= MAX_COLUMN else 0
        return LineInfo(slot, self._text(span.name), line, span.line, column)

    def _text(self, text: str) -> int:
        return self._strings.add(_printable(text))


def _printable(text: str) -> str:
    """What can stand in BTF's strings; a zero or a surrogate that is no byte is for show only."""
    text = text.replace("\0", " ")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def _place(record: LineInfo) -> tuple[int, int, int, int]:
    return record.file_name_off, record.line_off, record.line, record.column


def _function_spans(linked: LinkedProgram) -> dict[int, Location | None]:
    """By the slot where a function begins: the place to name if its first instruction has none."""
    program = linked.program
    own = [program.span, *(each.span for each in program.functions)]
    return {
        each.slot: span or _first_span(body)
        for each, span, body in zip(linked.functions, own, _bodies(linked), strict=True)
    }


def _bodies(linked: LinkedProgram) -> Iterator[Sequence[Instruction]]:
    starts = [each.index for each in linked.functions]
    for begin, end in zip(starts, [*starts[1:], len(linked.instructions)], strict=True):
        yield linked.instructions[begin:end]


def _first_span(body: Sequence[Instruction]) -> Location | None:
    return next((each.span for each in body if each.span is not None), None)


@dataclass(frozen=True, slots=True)
class MapTypes:
    """BTF for BPF_MAP_CREATE and the ids of a map's key and value in it."""

    btf: bytes
    key_type_id: int
    value_type_id: int


# Map types that take BTF of any key and value. Others refuse it, or ask for structs of their own.
_TYPED_MAPS = frozenset(
    {"hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash"}
)

_SCALAR = re.compile(r"([us])(8|16|32|64)(?:\[([1-9][0-9]{0,8})\])?")


def map_types(spec: MapSpec, *, byteorder: ByteOrder = "little") -> MapTypes | None:
    """BTF for a map whose key and value are named types, so that bpftool shows numbers.

    Types are u8 to u64, s8 to s64 and arrays of them ("u8[6]"). None where one of them is not
    known or has another size than the map's, and where the kernel takes no BTF for the map.
    """
    row = MAP_TYPES.find(spec.type) if isinstance(spec.type, str) else None
    needed = row is not None and row.needs_btf
    if spec.type not in _TYPED_MAPS and not needed:
        return None
    types: list[BtfType] = []
    ids = []
    for name, size in ((spec.key, spec.key_size), (spec.value, spec.value_size)):
        # Local storage is created with types only, and any of the right size will do.
        plain = ("u32" if size == 4 else f"u8[{size}]") if needed else ""
        if not (_add_type(types, name, size) or (plain and _add_type(types, plain, size))):
            return None
        ids.append(len(types))
    return MapTypes(codec.encode(Btf(tuple(types)), byteorder), *ids)


def _add_type(types: list[BtfType], name: str, size: int) -> bool:
    match = _SCALAR.fullmatch(name)
    if match is None:
        return False
    sign, bits, count = match[1], int(match[2]), match[3]
    if bits // 8 * int(count or 1) != size:
        return False
    encoding = IntEncoding.SIGNED if sign == "s" else 0
    types.append(Int(f"{sign}{bits}", bits // 8, bits, encoding))
    if count:
        element = len(types)
        types.append(Int("u32", 4, 32))
        types.append(Array(element, len(types), int(count)))
    return True
