"""The string section of BTF: texts that end in a zero byte, named by their offset."""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.errors import BtfError, error

# BTF_MAX_NAME_OFFSET, bytes: no offset may lie beyond it.
LIMIT = 0x00FF_FFFF


class StringTable:
    """Collects texts and gives each its offset; a text that is there already is not added again."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._offsets: dict[str, int] = {"": 0}
        self._chunks: list[bytes] = [b"\0"]
        self._size = 1
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        """Bytes so far."""
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
    """The section as it was read. Raises BtfError unless it begins and ends in a zero byte."""

    def __init__(self, data: bytes) -> None:
        if not data or data[0] or data[-1]:
            message = "the string section does not begin and end in a zero byte"
            raise BtfError(error("btf-format", message))
        self._data = data
        self._known: dict[int, str] = {0: ""}

    def at(self, offset: int) -> str:
        """The text at an offset. Raises BtfError where that is outside the section."""
        text = self._known.get(offset)
        if text is None:
            if not 0 <= offset < len(self._data):
                message = (
                    f"string offset {offset} is outside the section of {len(self._data)} bytes"
                )
                raise BtfError(error("btf-format", message))
            end = self._data.index(0, offset)
            text = self._data[offset:end].decode("utf-8", "surrogateescape")
            self._known[offset] = text
        return text


def _range_error(message: str) -> BtfError:
    return BtfError(error("btf-range", message))
