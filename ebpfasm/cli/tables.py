"""Rows of plain values, printed as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows below the columns' names; the sentence `empty` where there is none."""
    found = [[_text(value) for value in row] for row in rows]
    if not found:
        click.echo(empty)
        return
    if not sys.stdout.isatty():  # a file or a pipe takes lines of any length
        widths = [max(map(len, column)) for column in zip(columns, *found, strict=True)]
        for row in (columns, *found):
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            click.echo(line.rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one object's fields, a line each."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        click.echo(f"{name:<{width}}  {_text(value)}".rstrip())


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return " ".join(f"{name}={_text(each)}" for name, each in value.items())
        case list() | tuple():
            return ", ".join(map(_text, value))
        case _:
            return str(value)
