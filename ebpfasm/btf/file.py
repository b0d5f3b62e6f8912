"""BTF in files: bare, as in /sys/kernel/btf, or as a section of an ELF file such as vmlinux.

Of an ELF file of any machine no more is read than where its sections are (elf(5)).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Any

from ebpfasm.btf.strings import Buffer
from ebpfasm.errors import BtfError, EbpfError, error

_ELF = b"\x7fELF"
SECTION, BASE = ".BTF", ".BTF.base"

# Elf32_Ehdr and Elf64_Ehdr: where the section headers begin, their size, count, and the names'.
_HEADERS = {1: (32, "I", 46), 2: (40, "Q", 58)}
# Elf32_Shdr and Elf64_Shdr up to sh_link: name, type, flags, address, offset, size, link.
_SECTIONS = {1: "IIIIIII", 2: "IIQQQQI"}
_SHT_NOBITS, _SHN_XINDEX = 8, 0xFFFF
_LONGEST = 16  # bytes of a name that is looked for


def read_file(path: str) -> tuple[Buffer, bytes | None]:
    """A file's BTF, and what it goes on from where the file has that too (.BTF.base).

    Raises EbpfError where it cannot be read, BtfError for an ELF file without BTF.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(_ELF)) == _ELF:
                # A vmlinux with debug information has hundreds of megabytes.
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    return _from_elf(path, content)
            file.seek(0)
            return file.read(), None
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise EbpfError(error("file-missing", f"{path}: {reason}")) from None


def _from_elf(path: str, content: mmap.mmap) -> tuple[bytes, bytes | None]:
    try:
        found = {
            name: (start, size) for name, start, size in _sections(content)
            if name in (SECTION, BASE)
        }  # fmt: skip
        if any(start + size > len(content) for start, size in found.values()):
            raise ValueError
    except (struct.error, IndexError, KeyError, OverflowError, ValueError):
        message = f"{path} is a damaged ELF file: its sections are not where it says"
        raise BtfError(error("btf-format", message)) from None
    if SECTION not in found:
        hint = "compile with -g; a kernel needs CONFIG_DEBUG_INFO_BTF"
        message = f"{path} is an ELF file without a section {SECTION}"
        raise BtfError(error("btf-format", message, hint=hint))
    texts = {name: content[start : start + size] for name, (start, size) in found.items()}
    return texts[SECTION], texts.get(BASE)


def _sections(content: mmap.mmap) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each section that has content."""
    bits, order = content[4], {1: "<", 2: ">"}[content[5]]
    place, word, counts = _HEADERS[bits]
    (start,) = struct.unpack_from(order + word, content, place)
    size, count, names = struct.unpack_from(order + "HHH", content, counts)
    layout = struct.Struct(order + _SECTIONS[bits])

    def header(number: int) -> tuple[Any, ...]:
        return layout.unpack_from(content, start + number * size)

    if start == 0:
        return
    if size < layout.size:
        raise ValueError
    if count == 0:
        count = header(0)[5]
    if names == _SHN_XINDEX:
        names = header(0)[6]
    table = header(names)[4]
    for number in range(1, count):
        name, type, _, _, offset, length, _ = header(number)
        end = content.find(b"\0", table + name, table + name + _LONGEST)
        if type != _SHT_NOBITS and end >= 0:
            yield content[table + name : end].decode("utf-8", "replace"), offset, length
