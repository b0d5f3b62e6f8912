"""`ebpfasm disasm`: bytes, files and programs in the kernel as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ebpfasm
from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.cli.assemble import DIALECTS, byteorder_option, output_option
from ebpfasm.cli.files import (
    json_option,
    object_of_file,
    open_file,
    optional_file_argument,
    write_output,
)
from ebpfasm.errors import EbpfError, Location, error
from ebpfasm.ir import (
    CollectionSpec,
    Instruction,
    MapSpec,
    ProgramSpec,
    collect,
    decode,
    lift,
    link,
)
from ebpfasm.isa.codec import ByteOrder

if TYPE_CHECKING:
    from ebpfasm.runtime.programs import Program


@click.command("disasm")
@optional_file_argument
@click.option("--id", "number", metavar="N", type=int, help="The kernel's program with this id.")
@click.option(
    "--pin", metavar="PATH", type=click.Path(path_type=Path), help="The program pinned here."
)
@click.option("--name", metavar="NAME", help="The kernel's program of this name.")
@click.option("--tag", metavar="TAG", help="The kernel's program with this tag.")
@output_option
@click.option(
    "--dialect",
    type=click.Choice(DIALECTS),
    default="llvm",
    show_default=True,
    help="What to write.",
)
@click.option("--source", is_flag=True, help="Show lines of source above their instructions.")
@click.option("--plain", is_flag=True, help="Write what llvm-objdump -d writes.")
@byteorder_option
@json_option
def disasm_command(
    file: Path | None,
    number: int | None,
    pin: Path | None,
    name: str | None,
    tag: str | None,
    output: Path | None,
    dialect: Dialect,
    source: bool,
    plain: bool,
    byteorder: ByteOrder,
    as_json: bool,
) -> None:
    """Write FILE (bytes, Python or assembly) as assembly that gives the same bytes again.

    Of an ELF object all is written, so that `asm -o` makes the same object of it.

    With --id, --pin, --name or --tag, a program that is in the kernel is written as the verifier
    rewrote it, with the names that the kernel knows.
    """
    live = {"--id": number, "--pin": pin, "--name": name, "--tag": tag}
    given = [word for word, value in (("FILE", file), *live.items()) if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        hint = "give FILE, or one of --id, --pin, --name and --tag"
        message = f"one program is disassembled, and {found} was given"
        raise EbpfError(error("cli-usage", message, hint=hint))
    if plain and (as_json or source or file is None or dialect != "llvm"):
        hint = "it is for files, and stands without --dialect, --source and --json"
        raise EbpfError(error("cli-usage", "--plain is llvm-objdump's text alone", hint=hint))
    if file is None:
        text = _live(number, pin, name, tag, dialect, source, as_json)
    elif (content := _elf(file)) is not None:
        text = _of_object(content, file, dialect, source, plain, as_json)
    elif plain:
        text = _plain(file, byteorder)
    elif as_json:
        text = _json(_collection_as_json(_collection(file, byteorder), dialect, byteorder))
    elif _is_raw(file):
        code = _code(file)
        text = ebpfasm.disassemble(code, dialect=dialect, byteorder=byteorder, source=source)
    else:
        text = ebpfasm.disassemble(open_file(file), dialect=dialect, source=source)
    write_output(text.encode(), output)


def _is_raw(file: Path) -> bool:
    return file.suffix in (".bin", "") and str(file) != "-"


def _code(file: Path) -> bytes:
    from ebpfasm.sources import read_bytes

    return read_bytes(file)


def _elf(file: Path) -> bytes | None:
    """The content of an ELF file, None where it is another file."""
    from ebpfasm.sources import ELF_MAGIC, read_bytes

    if str(file) == "-":
        return None
    content = read_bytes(file)
    return content if content.startswith(ELF_MAGIC) else None


def _of_object(
    content: bytes, file: Path, dialect: Dialect, source: bool, plain: bool, as_json: bool
) -> str:
    from ebpfasm.asm.writing.object_printer import print_object
    from ebpfasm.elf import read_object
    from ebpfasm.emit.objdump import objdump

    if as_json or dialect != "llvm":
        given = "--json" if as_json else f"--dialect {dialect}"
        message = f"objects are written in the llvm dialect, without {given}"
        raise EbpfError(error("cli-usage", message))
    read = read_object(content, str(file))
    return objdump(read, str(file)) if plain else print_object(read, source=source)


def _collection(file: Path, byteorder: ByteOrder) -> CollectionSpec:
    if not _is_raw(file):
        return open_file(file)
    program = lift(decode(_code(file), byteorder=byteorder))
    return collect([program], program.functions)


def _plain(file: Path, byteorder: ByteOrder) -> str:
    from ebpfasm.emit.objdump import objdump, objdump_code
    from ebpfasm.emit.objects import object_of

    if _is_raw(file):
        return objdump_code(_code(file), byteorder=byteorder)
    compiled = object_of_file(file, "auto", None, byteorder)
    if compiled is None:
        compiled = object_of(open_file(file), byteorder=byteorder)
    return objdump(compiled, str(file))


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _live(
    number: int | None,
    pin: Path | None,
    name: str | None,
    tag: str | None,
    dialect: Dialect,
    source: bool,
    as_json: bool,
) -> str:
    from ebpfasm.runtime import existing

    if number is not None:
        opened = existing.program_by_id(number)
    elif pin is not None:
        opened = existing.pinned_program(pin)
    else:
        opened = existing.find_program(name=name, tag=tag)
    with opened as program:
        return live_text(program, dialect, source, as_json)


def live_text(program: Program, dialect: Dialect, source: bool, as_json: bool) -> str:
    """A loaded program as text or JSON, as the kernel runs it. Raises LoadError."""
    from ebpfasm.asm.writing.translated import functions, print_translated
    from ebpfasm.runtime import inspect

    info = program.info()
    found = inspect.translated(program)
    if not as_json:
        head = f"program {info.id}: {info.name}, {info.type}, tag {info.tag}, as the kernel runs it"
        return print_translated(found, dialect, head=head, source=source)
    return _json({
        "id": info.id,
        "name": found.name,
        "type": info.type,
        "tag": info.tag,
        "maps": [{"id": id, **_map_as_json(spec)} for id, spec in found.maps.items()],
        "functions": [
            {
                "name": function,
                "instructions": [
                    _row(row.slot, row.text, row.code, row.labels, row.source, row.comment)
                    for row in rows
                ],
            }
            for function, rows in functions(found, dialect)
        ],
    })  # fmt: skip


def _row(
    slot: int,
    text: str,
    code: bytes,
    labels: Iterable[str],
    source: Location | None,
    comment: str,
) -> dict[str, object]:
    row: dict[str, object] = {"slot": slot, "text": text, "bytes": code.hex(" ")}
    row["labels"] = list(labels)
    if comment:
        row["comment"] = comment
    if source is not None:
        row["source"] = {
            "file": source.name,
            "line": source.line,
            "column": source.column,
            "text": source.line_text.strip(),
        }
    return row


def _map_as_json(spec: MapSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "type": spec.type,
        "key_size": spec.key_size,
        "value_size": spec.value_size,
        "max_entries": spec.max_entries,
        "flags": spec.flags,
    }


def _collection_as_json(
    spec: CollectionSpec, dialect: Dialect, byteorder: ByteOrder
) -> dict[str, object]:
    return {
        "maps": [_map_as_json(each) for each in spec.maps.values()],
        "programs": [
            {
                "name": each.name,
                "section": each.section,
                "type": each.type,
                "functions": _functions(each, dialect, byteorder),
            }
            for each in spec.programs.values()
        ],
    }


def _functions(
    program: ProgramSpec, dialect: Dialect, byteorder: ByteOrder
) -> list[dict[str, Any]]:
    from ebpfasm.asm.writing import mnemonic_printer, printer
    from ebpfasm.emit import image

    write = printer.text_of if dialect == "llvm" else mnemonic_printer.text_of
    code = image(link(program), byteorder=byteorder).code
    streams = [(program.name, program.instructions)]
    streams += [(each.name, each.instructions) for each in program.functions]
    found: list[dict[str, Any]] = []
    slot = 0
    for name, items in streams:
        rows: list[dict[str, object]] = []
        labels: list[str] = []
        for item in items:
            if not isinstance(item, Instruction):
                labels.append(item.name)
                continue
            raw = code[slot * 8 : (slot + item.slots) * 8]
            rows.append(_row(slot, write(item), raw, labels, item.span, item.comment))
            slot += item.slots
            labels = []
        at_end = {"labels_at_end": labels} if labels else {}
        found.append({"name": name, "instructions": rows, **at_end})
    return found
