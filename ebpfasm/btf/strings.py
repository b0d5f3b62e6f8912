"""The string section of BTF: texts that end in a zero byte, named by their offset."""

from __future__ import annotations

import mmap
from collections.abc import Iterable

from ebpfasm.errors import BtfError, error

# What BTF is read from.
Buffer = bytes | mmap.mmap

# BTF_MAX_NAME_OFFSET, bytes: no offset may lie beyond it.
LIMIT = 0x00FF_FFFF


class StringTable:
    """Collects texts and gives each its offset; a text that is there already is not added again.

    With a `base`, the strings of what a split BTF goes on from, offsets go on from its end.
    """

    def __init__(self, texts: Iterable[str] = (), *, base: StringSection | None = None) -> None:
        self._offsets: dict[str, int] = {"": 0}
        self._chunks: list[bytes] = [b"\0"] if base is None else []
        self._base = base
        self._size = 1 if base is None else base.end
        for text in texts:
            self.add(text)

    @classmethod
    def of(cls, section: StringSection) -> StringTable:
        """Go on from a section that there is; the offsets of its texts stay as they are."""
        data, begin, end = section.place
        made = cls(base=section.base)
        made._chunks = [data[begin:end]]
        made._size = section.end
        offset = section.end - (end - begin)
        for text in data[begin:end].split(b"\0")[:-1]:
            made._offsets.setdefault(text.decode("utf-8", "surrogateescape"), offset)
            offset += len(text) + 1
        return made

    def __len__(self) -> int:
        """Bytes so far, the base's included."""
        return self._size

    def add(self, text: str) -> int:
        """The text's offset. Raises BtfError where it holds a zero character or the table is full.

        Bytes that are not UTF-8 are taken as Python's surrogateescape spells them.
        """
        offset = self._offsets.get(text)
        if offset is not None:
            return offset
        try:
            chunk = text.encode("utf-8", "surrogateescape") + b"\0"
        except UnicodeEncodeError:
            raise _range_error(f"{text!r} cannot be written in UTF-8") from None
        if "\0" in text:
            raise _range_error(f"{text!r} holds a zero character")
        known = None if self._base is None else self._base.find(chunk[:-1])
        if known is not None:
            self._offsets[text] = known
            return known
        offset = self._size
        if offset > LIMIT:
            raise _range_error(f"the strings need more than {LIMIT + 1} bytes")
        self._offsets[text] = offset
        self._chunks.append(chunk)
        self._size += len(chunk)
        return offset

    def section(self) -> bytes:
        """The bytes of the section."""
        return b"".join(self._chunks)


class StringSection:
    """The section as it was read: `data` from `begin` up to `end`.

    A split BTF's offsets go on where those of its base's section end. Raises BtfError unless the
    section ends in a zero byte and, where it is no split one, begins with one.
    """

    def __init__(
        self,
        data: Buffer,
        begin: int = 0,
        end: int | None = None,
        base: StringSection | None = None,
    ) -> None:
        self._data, self._begin = data, begin
        self._end = len(data) if end is None else end
        self.base = base
        self._first = 0 if base is None else base.end
        size = self._end - begin
        whole = size > 0 and data[self._end - 1] == 0
        if base is None and not (whole and data[begin] == 0):
            message = "the string section does not begin and end in a zero byte"
            raise BtfError(error("btf-format", message))
        if size and not whole:
            raise BtfError(error("btf-format", "the string section does not end in a zero byte"))
        self._known: dict[int, str] = {0: ""}

    @property
    def end(self) -> int:
        """The offset behind the last text, the base's included."""
        return self._first + self._end - self._begin

    @property
    def place(self) -> tuple[Buffer, int, int]:
        """The data, and where the section begins and ends in it."""
        return self._data, self._begin, self._end

    def at(self, offset: int) -> str:
        """The text at an offset. Raises BtfError where that is outside the section."""
        text = self._known.get(offset)
        if text is None:
            text = self.bytes_at(offset).decode("utf-8", "surrogateescape")
            self._known[offset] = text
        return text

    def bytes_at(self, offset: int) -> bytes:
        """The text's bytes. Raises BtfError as `at` does."""
        if self.base is not None and 0 <= offset < self._first:
            return self.base.bytes_at(offset)
        if not self._first <= offset < self.end:
            message = f"string offset {offset} is outside the section of {self.end} bytes"
            raise BtfError(error("btf-format", message))
        place = self._begin + offset - self._first
        return self._data[place : self._data.find(b"\0", place, self._end)]

    def find(self, text: bytes) -> int | None:
        """The offset of a text, None where the section has no such one."""
        if self.base is not None and (found := self.base.find(text)) is not None:
            return found
        whole = text + b"\0"
        if self._data[self._begin : self._begin + len(whole)] == whole:
            return self._first
        place = self._data.find(b"\0" + whole, self._begin, self._end)
        return None if place < 0 else self._first + place + 1 - self._begin


def _range_error(message: str) -> BtfError:
    return BtfError(error("btf-range", message))
