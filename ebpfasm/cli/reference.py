"""`ebpfasm isa` and `ebpfasm errors`: the tables as documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ebpfasm.cli.files import json_option
from ebpfasm.errors import CODES
from ebpfasm.ir import Instruction
from ebpfasm.isa.table import TABLE, InstructionSpec

if TYPE_CHECKING:
    from ebpfasm.asm.reading.dialects import Dialect

markdown_option = click.option("--markdown", is_flag=True, help="Print the page of docs/.")

_ISA_ROW = (
    "| `{opcode}` | {fixed} | `{text}` | `{mnemonic}` | {doc} "
    "| {name} | {group} | {cpu} | {since} |"
)
_ISA_HEAD = {
    "opcode": "opcode",
    "fixed": "fixed fields",
    "text": "written",
    "mnemonic": "mnemonic",
    "doc": "what it does",
    "name": "name",
    "group": "group",
    "cpu": "cpu",
    "since": "since",
}
# In the order of Instruction's fields.
_SAMPLE = {"dst": 1, "src": 2, "off": 8, "imm": 7}


@click.command("isa")
@markdown_option
@json_option
def isa_command(markdown: bool, as_json: bool) -> None:
    """Print every instruction: how it is written, encoded, and since when it exists."""
    rows = [_row(spec) for spec in TABLE]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif markdown:
        click.echo(_isa_page(rows))
    else:
        for row in rows:
            click.echo(f"{row['opcode']}  {row['name']:<20} {row['text']:<44} {row['doc']}")


def _row(spec: InstructionSpec) -> dict[str, str]:
    return {
        "opcode": f"{spec.opcode:#04x}",
        "name": spec.name,
        "text": sample_text(spec),
        "mnemonic": sample_text(spec, "mnemonic"),
        "fixed": ", ".join(f"{name} = {value:#x}" for name, value in spec.fixed),
        "group": spec.group,
        "cpu": spec.cpu,
        "since": spec.since or "-",
        "doc": spec.doc,
    }


def sample_text(spec: InstructionSpec, dialect: Dialect = "llvm") -> str:
    """The row's instruction with r1, r2 and small numbers, as a dialect writes it."""
    from ebpfasm.asm import text_of
    from ebpfasm.asm.writing import mnemonic_printer

    write = text_of if dialect == "llvm" else mnemonic_printer.text_of
    fields = {operand.field for operand in spec.form.operands}
    dst, src, off, imm = (value if name in fields else 0 for name, value in _SAMPLE.items())
    return write(Instruction(spec, dst, src, off, imm), plain=True)


def _isa_page(rows: list[dict[str, str]]) -> str:
    lines = [
        "# The instruction set",
        "",
        "Printed by `ebpfasm isa --markdown` from `ebpfasm/isa/table.py`; do not edit. In the",
        "order of RFC 9669, then Linux's extensions. *cpu* is the lowest `-mcpu` with which clang",
        "emits it, *since* the first Linux version that takes it from programs.",
        "",
        _ISA_ROW.replace("`", "").format(**_ISA_HEAD),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = {name: text.replace("|", "\\|") for name, text in row.items()}
        lines.append(_ISA_ROW.format(**cells))
    return "\n".join(lines)


@click.command("errors")
@markdown_option
@json_option
def errors_command(markdown: bool, as_json: bool) -> None:
    """Print every diagnostic's code and what it means."""
    if as_json:
        click.echo(json.dumps(CODES, indent=2))
    elif markdown:
        click.echo(_errors_page())
    else:
        for code, meaning in CODES.items():
            click.echo(f"{code:<22} {meaning}")


def _errors_page() -> str:
    lines = [
        "# Diagnostics",
        "",
        "Printed by `ebpfasm errors --markdown` from `ebpfasm/errors.py`; do not edit. Codes are",
        "stable: programs may compare them (`exception.diagnostics[0].code`).",
        "",
        "| code | what went wrong |",
        "| --- | --- |",
        *(f"| `{code}` | {meaning} |" for code, meaning in CODES.items()),
    ]
    return "\n".join(lines)
