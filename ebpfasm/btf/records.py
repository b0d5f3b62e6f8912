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
_HEADER_SIZE = 32  # bytes, with three tables
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
    # Headers of early compilers end before the CO-RE relocations.
    places = struct.unpack_from(order + ("6I" if size >= _HEADER_SIZE else "4I"), data, 8)
    words = array("I", data[size : len(data) // 4 * 4])
    if byteorder != sys.byteorder:
        words.byteswap()
    found = []
    for (name, width), start, length in zip(_TABLES, places[::2], places[1::2], strict=False):
        if not length and size + start <= len(data):
            found.append(ExtTable(width, {}))
            continue
        if size + start + length > len(data):
            raise _damaged(f"its {name} end beyond the {len(data)} bytes that there are")
        if start % 4 or length % 4:
            raise _damaged(f"its {name} are {length} bytes at {start}: no whole words")
        found.append(_table(words, start // 4, (start + length) // 4, name, width))
    if len(found) < len(_TABLES):
        found.append(ExtTable(_TABLES[-1][1], {}))
    return ExtTables(*found)


def _table(words: array[int], begin: int, end: int, name: str, width: int) -> ExtTable:
    sections: dict[int, array[int]] = {}
    step = words[begin] // 4
    if words[begin] % 4 or step < width:
        raise _damaged(f"its {name} have records of {words[begin]} bytes")
    at = begin + 1
    while at + 2 <= end:
        section, count = words[at], words[at + 1]
        first, at = at + 2, at + 2 + count * step
        if at > end:
            raise _damaged(f"its {name} are cut short")
        records = words[first:at]
        if step > width:
            records = _narrowed(records, step, width)
        if section in sections:
            sections[section].extend(records)
        else:
            sections[section] = records
    if at < end:
        raise _damaged(f"its {name} are cut short")
    return ExtTable(width, sections)


def _narrowed(records: array[int], step: int, width: int) -> array[int]:
    kept = array("I", bytes(4 * width * (len(records) // step)))
    for column in range(width):
        kept[column::width] = records[column::step]
    return kept


def _damaged(what: str) -> BtfError:
    return BtfError(error("btf-format", f".BTF.ext is damaged: {what}"))
