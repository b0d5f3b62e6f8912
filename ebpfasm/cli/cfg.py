"""`ebpfasm cfg`: a program's control-flow graph, drawn by Graphviz."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click

from ebpfasm.cli.files import choose, file_argument, open_file, program_option, write_output
from ebpfasm.errors import EbpfError, error

_PICTURES = frozenset({".svg", ".png", ".pdf"})


@click.command("cfg")
@file_argument
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path),
    help="Write here: a picture to .svg, .png or .pdf, else text for Graphviz.",
)  # fmt: skip
@program_option
def cfg_command(file: Path, output: Path | None, prog: str | None) -> None:
    """Draw a program of FILE: its blocks of instructions, and where each leads.

    Pictures are drawn by dot, which Graphviz brings. Without -o the text that dot takes is printed.
    """
    from ebpfasm.emit.graph import dot

    text = dot(choose(open_file(file), prog)).encode()
    if output is not None and output.suffix in _PICTURES:
        text = _drawn(text, output.suffix.removeprefix("."))
    write_output(text, output)


def _drawn(text: bytes, kind: str) -> bytes:
    """The picture that Graphviz makes. Raises EbpfError where it is missing or fails."""
    tool = shutil.which("dot")
    if tool is None:
        hint = "install graphviz, or give a name that ends in .dot and draw it elsewhere"
        raise EbpfError(error("cli-tool", f"dot, which draws .{kind}, is missing", hint=hint))
    done = subprocess.run([tool, f"-T{kind}"], input=text, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise EbpfError(error("cli-tool", f"dot cannot draw .{kind}: {reason}"))
    return done.stdout
