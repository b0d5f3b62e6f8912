"""Records that tie BTF to instructions: func_info and line_info, as `bpf(2)` takes them.

The kernel's Documentation/bpf/btf.rst, section 3.3. There an `insn_off` counts slots from the
program's start; in the .BTF.ext section of an object the same records count bytes from the
start of an ELF section.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

from ebpfasm.btf.codec import MAGIC, VERSION
from ebpfasm.btf.types import ByteOrder
from ebpfasm.errors import BtfError, error

FUNC_INFO_SIZE = 8
LINE_INFO_SIZE = 16

MAX_LINE = (1 << 22) - 1
MAX_COLUMN = (1 << 10) - 1


@dataclass(frozen=True, slots=True)
class FuncInfo:
    """A function's first instruction and the id of its Func (struct bpf_func_info)."""

    insn_off: int
    type_id: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """An instruction's source line (struct bpf_line_info).

    `file_name_off` and `line_off`, the line's text, are offsets into BTF's strings. Line and
    column count from 1; 0 is unknown.
    """

    insn_off: int
    file_name_off: int
    line_off: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class CoreRelocation:
    """A CO-RE relocation (struct bpf_core_relo): `access` is an offset into BTF's strings."""

    insn_off: int
    type_id: int
    access: int
    kind: int


def pack_func_info(records: Iterable[FuncInfo], byteorder: ByteOrder = "little") -> bytes:
    """Join the records, 8 bytes each. Raises BtfError where a number does not fit."""
    layout = _layout("II", byteorder)
    return b"".join(_pack(layout, (each.insn_off, each.type_id)) for each in records)


def pack_line_info(records: Iterable[LineInfo], byteorder: ByteOrder = "little") -> bytes:
    """Join the records, 16 bytes each. Raises BtfError where a number does not fit.

    A line has 22 bits, a column 10.
    """
    layout = _layout("IIII", byteorder)
    chunks = []
    for each in records:
        if not (0 <= each.line <= MAX_LINE and 0 <= each.column <= MAX_COLUMN):
            place = f"line {each.line}, column {each.column}"
            message = f"{place} does not fit: line info ends at {MAX_LINE} and {MAX_COLUMN}"
            raise BtfError(error("btf-range", message))
        position = each.line << 10 | each.column
        chunks.append(_pack(layout, (each.insn_off, each.file_name_off, each.line_off, position)))
    return b"".join(chunks)


# magic, version, flags, hdr_len, then offset and length of func_info, line_info and
# core_relo, which count from the header's end (btf.rst, section 4.2).
_HEADER = "HBBIIIIIII"
_HEADER_SIZE = struct.calcsize("=" + _HEADER)

# A table of .BTF.ext: a section's name, as an offset into BTF's strings, and its records.
FuncTable = Sequence[tuple[int, Sequence[FuncInfo]]]
LineTable = Sequence[tuple[int, Sequence[LineInfo]]]
CoreTable = Sequence[tuple[int, Sequence[CoreRelocation]]]


@dataclass(frozen=True, slots=True)
class ExtSection:
    """A .BTF.ext section and, for relocations, where its `insn_off` fields are.

    `places` has for each field its offset and the name of the section that it counts in.
    """

    data: bytes
    places: tuple[tuple[int, int], ...]


def encode_ext(
    functions: FuncTable,
    lines: LineTable,
    byteorder: ByteOrder = "little",
    relocations: CoreTable = (),
) -> ExtSection:
    """Write a .BTF.ext section; `insn_off` of its records counts bytes in an ELF section.

    Raises BtfError where a number does not fit.
    """
    places: list[tuple[int, int]] = []
    func_info = _table(
        [(name, pack_func_info(records, byteorder)) for name, records in functions],
        FUNC_INFO_SIZE, _HEADER_SIZE, places, byteorder,
    )  # fmt: skip
    line_info = _table(
        [(name, pack_line_info(records, byteorder)) for name, records in lines],
        LINE_INFO_SIZE, _HEADER_SIZE + len(func_info), places, byteorder,
    )  # fmt: skip
    end = len(func_info) + len(line_info)
    layout = _layout("IIII", byteorder)
    core = _table(
        [
            (name, b"".join(_pack(layout, astuple(each)) for each in records))
            for name, records in relocations
        ],
        layout.size, _HEADER_SIZE + end, places, byteorder,
    )  # fmt: skip
    header = _layout(_HEADER, byteorder).pack(
        MAGIC, VERSION, 0, _HEADER_SIZE,
        0, len(func_info), len(func_info), len(line_info), end, len(core),
    )  # fmt: skip
    return ExtSection(header + func_info + line_info + core, tuple(places))


def _table(
    sections: Sequence[tuple[int, bytes]],
    record: int,
    begin: int,
    places: list[tuple[int, int]],
    byteorder: ByteOrder,
) -> bytes:
    chunks = [_layout("I", byteorder).pack(record)]
    at = begin + 4
    for name, records in sections:
        chunks += _layout("II", byteorder).pack(name, len(records) // record), records
        at += 8
        places += ((at + offset, name) for offset in range(0, len(records), record))
        at += len(records)
    return b"".join(chunks) if sections else b""


def unpack_func_info(
    data: bytes, *, record_size: int = FUNC_INFO_SIZE, byteorder: ByteOrder = "little"
) -> tuple[FuncInfo, ...]:
    """Read records; what a longer record holds beyond the fields known here is passed over.

    Raises BtfError where the size is too small or the bytes are no whole number of records.
    """
    return tuple(FuncInfo(*row) for row in _unpack("II", data, record_size, byteorder))


def unpack_line_info(
    data: bytes, *, record_size: int = LINE_INFO_SIZE, byteorder: ByteOrder = "little"
) -> tuple[LineInfo, ...]:
    """Read records, as `unpack_func_info` does."""
    return tuple(
        LineInfo(insn_off, file_name_off, line_off, position >> 10, position & MAX_COLUMN)
        for insn_off, file_name_off, line_off, position in _unpack(
            "IIII", data, record_size, byteorder
        )
    )


def _layout(fields: str, byteorder: ByteOrder) -> struct.Struct:
    return struct.Struct(("<" if byteorder == "little" else ">") + fields)


def _pack(layout: struct.Struct, values: tuple[int, ...]) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error:
        raise BtfError(error("btf-range", f"{values} do not fit 32 bits each")) from None


def _unpack(
    fields: str, data: bytes, record_size: int, byteorder: ByteOrder
) -> Iterator[tuple[int, ...]]:
    layout = _layout(fields, byteorder)
    if record_size < layout.size or len(data) % record_size:
        message = f"{len(data)} bytes are no records of {record_size}, at least {layout.size} each"
        raise BtfError(error("btf-format", message))
    return (layout.unpack_from(data, offset) for offset in range(0, len(data), record_size))
