"""What several commands share: the file argument, choosing a program, writing a result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ebpfasm
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import EbpfError, error
from ebpfasm.ir import CollectionSpec, ProgramSpec
from ebpfasm.isa.codec import ByteOrder

if TYPE_CHECKING:
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.ir.object import Object

_INCLUDE, _BTF = "ebpfasm.include", "ebpfasm.btf"


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Leave an option where open_file finds it: every command that reads a file has these."""
    context.meta[_INCLUDE if parameter.name == "include" else _BTF] = value


def file_argument(command: Callable[..., None]) -> Callable[..., None]:
    """The file that a command reads, and what helps to read assembly."""
    return _file_argument(command, required=True)


def optional_file_argument(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that can do without a file."""
    return _file_argument(command, required=False)


def _file_argument(command: Callable[..., None], *, required: bool) -> Callable[..., None]:
    folder, file = click.Path(path_type=Path), click.Path(path_type=Path)
    for option in (
        click.option(
            "--btf", metavar="FILE", type=file, expose_value=False, callback=_keep,
            help="Structs and enumerations that assembly may name, as /sys/kernel/btf/vmlinux.",
        ),
        click.option(
            "-I", "--include", metavar="DIR", type=folder, multiple=True, expose_value=False,
            callback=_keep, help="Look here for what assembly includes.",
        ),
        click.argument("file", metavar="FILE", type=file, required=required),
    ):  # fmt: skip
        command = option(command)
    return command


program_option = click.option("--prog", metavar="NAME", help="The program, if there are several.")
type_option = click.option(
    "--type", "program_type", metavar="TYPE", help="The program type, if the section says none."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def open_file(
    file: Path, dialect: str = "auto", byteorder: ByteOrder | None = None
) -> CollectionSpec:
    """Read the file; `-` is assembly from standard input."""
    from ebpfasm.sources import open_collection

    meta = click.get_current_context().meta
    include, btf = meta[_INCLUDE], meta[_BTF]
    if str(file) != "-":
        return open_collection(file, dialect, include=include, btf=btf, byteorder=byteorder)
    text = sys.stdin.read()
    return ebpfasm.assemble(
        text, dialect=dialect, name="<stdin>", include=include, btf=btf, byteorder=byteorder
    )


def given_btf() -> BtfIndex | None:
    """The types that the user gave for the kernel's; None where it was not said."""
    path = click.get_current_context().meta[_BTF]
    if path is None:
        return None
    from ebpfasm.btf.index import BtfIndex

    return BtfIndex.of(path)


def object_of_file(
    file: Path, dialect: str, cpu: str | None, byteorder: ByteOrder
) -> Object | None:
    """The object that a compiler's assembly is, with LLVM's meaning; None for any other file."""
    from ebpfasm.asm.reading.raw import is_llvm_file
    from ebpfasm.sources import SUFFIXES, decode_text, read_bytes

    if SUFFIXES.get(file.suffix) != "assembly" or dialect == "mnemonic":
        return None
    text = decode_text(read_bytes(file), str(file))
    if not is_llvm_file(text):
        return None
    from ebpfasm.asm.objects import assemble_object

    include = click.get_current_context().meta[_INCLUDE]
    return assemble_object(text, str(file), byteorder=byteorder, cpu=cpu or "v4", include=include)


def choose(spec: CollectionSpec, name: str | None, program_type: str | None = None) -> ProgramSpec:
    """The program named, or the only one. Raises EbpfError that lists them otherwise."""
    names = ", ".join(spec.programs)
    if not spec.programs:
        raise EbpfError(error("cli-usage", "the file has no program"))
    if name is None and len(spec.programs) > 1:
        hint = f"choose with --prog: {names}"
        raise EbpfError(error("cli-usage", "the file has several programs", hint=hint))
    program = spec.programs.get(name) if name is not None else next(iter(spec.programs.values()))
    if program is None:
        hint = did_you_mean(name or "", spec.programs) or f"it has {names}"
        raise EbpfError(error("cli-usage", f"the file has no program {name}", hint=hint))
    return with_type(program, program_type)


def with_type(program: ProgramSpec, program_type: str | None) -> ProgramSpec:
    """The program as one of another type, where one is given."""
    if program_type is None:
        return program
    from ebpfasm.isa.kinds import PROGRAM_TYPES

    row = PROGRAM_TYPES.find(program_type)
    if row is None:
        hint = did_you_mean(program_type, PROGRAM_TYPES.by_name)
        raise EbpfError(error("cli-usage", f"there is no program type {program_type}", hint=hint))
    return replace(program, type=row.name, attach_type="")


def write_output(content: bytes, out: Path | None) -> None:
    """Write to the file whole or not at all; to standard output where there is none."""
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    import tempfile

    try:
        handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(out)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise EbpfError(error("file-write", f"{out} cannot be written: {reason}")) from None
