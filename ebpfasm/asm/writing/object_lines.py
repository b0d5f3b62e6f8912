"""The lines of source that an object's code came from, as its .BTF and .BTF.ext say."""

from __future__ import annotations

from ebpfasm.btf import codec
from ebpfasm.btf.ext import decode_lines
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
    found = {}
    for name, records in decode_lines(ext.content, read.byteorder):
        before = None
        for each in records:
            file, text = strings.at(each.file_name_off), strings.at(each.line_off)
            if (file, each.line) != before:
                place = strings.at(name), each.insn_off
                found[place] = LineSpan(file, each.line, each.column, text)
            before = file, each.line
    return found
