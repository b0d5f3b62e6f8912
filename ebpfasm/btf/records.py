"""The tables of a .BTF.ext section as they are: functions, lines and CO-RE relocations by section.

The kernel's Documentation/bpf/btf.rst, section 4.2. What a longer header or record of a later
compiler holds beyond the fields known here is passed over. `insn_off` counts bytes in a section.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping

from ebpfasm.btf.codec import MAGIC, VERSION
from ebpfasm.btf.types import ByteOrder
from ebpfasm.errors import BtfError, error
from ebpfasm.frozen import dataclass

_HEADER = "HBBI"  # magic, version, flags, hdr_len; then pairs of offset and length
_TABLES = (("functions", 2), ("lines", 4), ("relocations", 4))


@dataclass(frozen=True, slots=True)
class ExtTable:
    """One table: for a section's name, an offset into BTF's strings, the words of its records.

    A record has `width` words. A section comes once: records of parts are joined.
    """

    width: int
    sections: Mapping[int, array[int]]


@dataclass(frozen=True, slots=True)
class ExtTables:
    """A whole .BTF.ext section.

    Words of a function: insn_off, type_id; of a line: insn_off, file_name_off, line_off,
    line << 10 | column; of a relocation: insn_off, type_id, access_str_off, kind.
    """

    functions: ExtTable
    lines: ExtTable
    relocations: ExtTable


def read_ext(data: bytes, byteorder: ByteOrder = "little") -> ExtTables:
    """Read a .BTF.ext section. Raises BtfError where it is damaged."""
    order = "<" if byteorder == "little" else ">"
    if len(data) < 8:
        raise _damaged(f"{len(data)} bytes hold no header")
    magic, version, flags, size = struct.unpack_from(order + _HEADER, data)
    if magic != MAGIC or version != VERSION or flags:
        raise _damaged(f"magic {magic:#x}, version {version}, flags {flags:#x} are not known")
    if size < 24 or size > len(data) or size % 4:
        raise _damaged(f"a header of {size} bytes cannot be")
    found = []
    for number, (name, width) in enumerate(_TABLES):
        at = 8 + 8 * number
        # Headers of early compilers end before the CO-RE relocations.
        start, length = struct.unpack_from(order + "II", data, at) if at + 8 <= size else (0, 0)
        if size + start + length > len(data):
            raise _damaged(f"its {name} end beyond the {len(data)} bytes that there are")
        begin = size + start
        found.append(_table(data[begin : begin + length], name, width, byteorder))
    return ExtTables(*found)


def _table(blob: bytes, name: str, width: int, byteorder: ByteOrder) -> ExtTable:
    sections: dict[int, array[int]] = {}
    if not blob:
        return ExtTable(width, sections)
    if len(blob) % 4:
        raise _damaged(f"its {name} are {len(blob)} bytes: no whole number of words")
    words = _words(blob, byteorder)
    step = words[0] // 4
    if words[0] % 4 or step < width:
        raise _damaged(f"its {name} have records of {words[0]} bytes")
    at = 1
    while at + 2 <= len(words):
        section, count = words[at : at + 2]
        begin, at = at + 2, at + 2 + count * step
        if at > len(words):
            raise _damaged(f"its {name} are cut short")
        records = words[begin:at]
        if step > width:
            records = _narrowed(records, step, width)
        sections.setdefault(section, array("I")).extend(records)
    if at < len(words):
        raise _damaged(f"its {name} are cut short")
    return ExtTable(width, sections)


def _words(blob: bytes, byteorder: ByteOrder) -> array[int]:
    words = array("I")
    words.frombytes(blob)
    if byteorder != sys.byteorder:
        words.byteswap()
    return words


def _narrowed(records: array[int], step: int, width: int) -> array[int]:
    kept = array("I", bytes(4 * width * (len(records) // step)))
    for column in range(width):
        kept[column::width] = records[column::step]
    return kept


def _damaged(what: str) -> BtfError:
    return BtfError(error("btf-format", f".BTF.ext is damaged: {what}"))
