"""What an object's .BTF and .BTF.ext say of its functions, kept for the kernel.

Records are kept per function, not per section, so that they stay right however programs are put
together: several may share a section, and a subprogram goes into each that reaches it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from ebpfasm.errors import BtfError
from ebpfasm.frozen import dataclass

if TYPE_CHECKING:
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.btf.types import ByteOrder

# Words of a line record in `FunctionDebug.lines`: insn_off, file_name_off, line_off, line_col.
LINE_WORDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ObjectDebug:
    """An object's types, from its .BTF section.

    The sizes and offsets of data sections, which compilers leave at zero, are those of the
    object, and hidden functions and variables are static. Kinds are among them that an old kernel
    may not know. The types of kernel symbols are as the compiler wrote them.
    """

    btf: BtfIndex
    byteorder: ByteOrder

    @property
    def data(self) -> bytes:
        """The section, in the object's byte order."""
        return bytes(self.btf.raw)

    def text(self, offset: int) -> str:
        """The string at an offset, to be shown; empty where it is outside the section."""
        try:
            return self.btf.strings.bytes_at(offset).decode("utf-8", "backslashreplace")
        except BtfError:
            return ""


class LineTable:
    """An ELF section's line records as words, in order; `insn_off` counts bytes of the section."""

    __slots__ = ("offsets", "words")

    def __init__(self, words: array[int]) -> None:
        self.words = words
        self.offsets = words[::LINE_WORDS]


class FunctionDebug:
    """One function's part: the id of its Func in the object's types, and its line records.

    `func` is 0 where no record says it.
    """

    __slots__ = ("_begin", "_lines", "_range", "_table", "func", "object")

    def __init__(
        self, object: ObjectDebug, func: int, table: LineTable, records: range, begin: int
    ) -> None:
        """Take the records of a section that lie in the function, which begins at byte `begin`."""
        self.object = object
        self.func = func
        self._table, self._range, self._begin = table, records, begin
        self._lines: array[int] | None = None

    @property
    def has_lines(self) -> bool:
        """Whether there are any records."""
        return len(self._range) > 0

    def record_at(self, slot: int) -> int | None:
        """The number of the record that an instruction at a slot belongs to, None for none."""
        first, last = self._range.start, self._range.stop
        number = bisect_right(self._table.offsets, self._begin + 8 * slot, first, last) - 1
        return number - first if number >= first else None

    def record(self, number: int) -> array[int]:
        """A record's words behind its offset."""
        at = LINE_WORDS * (self._range.start + number)
        return self._table.words[at + 1 : at + LINE_WORDS]

    @property
    def lines(self) -> array[int]:
        """Four words a record, as struct bpf_line_info.

        The slot from the function's beginning, offsets into the BTF's strings of the file's name
        and the line's text, line << 10 | column.
        """
        if self._lines is None:
            self._lines = self.lines_at(0)
        return self._lines

    def lines_at(self, slot: int) -> array[int]:
        """The same, counted from a program in which the function begins at a slot."""
        first, last = self._range.start, self._range.stop
        words = self._table.words[LINE_WORDS * first : LINE_WORDS * last]
        base = slot - self._begin // 8
        words[::LINE_WORDS] = array(
            "I", [each // 8 + base for each in self._table.offsets[first:last]]
        )
        return words
