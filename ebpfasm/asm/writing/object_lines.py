"""The lines of source that an object's code came from, as its .BTF and .BTF.ext say."""

from __future__ import annotations

from ebpfasm.btf import codec
from ebpfasm.btf.ext import MAX_COLUMN
from ebpfasm.btf.records import read_ext
from ebpfasm.errors import LineSpan
from ebpfasm.ir.object import Object


def source_lines(read: Object) -> dict[tuple[str, int], LineSpan]:
    """Lines by section and byte offset; none where the object has no line information.

    Of instructions that follow each other on one line the first has it. Raises BtfError.
    """
    types, ext = read.section(".BTF"), read.section(".BTF.ext")
    if types is None or ext is None:
        return {}
    strings = codec.decode_strings(types.content)
    lines = read_ext(ext.content, read.byteorder).lines
    found = {}
    for name, words in lines.sections.items():
        section, before = strings.at(name), None
        for at in range(0, len(words), lines.width):
            offset, file_at, text_at, position = words[at : at + lines.width]
            line = strings.at(file_at), position >> 10
            if line != before:
                text = strings.at(text_at)
                found[section, offset] = LineSpan(*line, position & MAX_COLUMN, text)
            before = line
    return found
