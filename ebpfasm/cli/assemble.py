"""`ebpfasm asm`: text to bytes, listings and objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

import ebpfasm
from ebpfasm.cli.files import (
    choose,
    file_argument,
    object_of_file,
    open_file,
    program_option,
    write_output,
)
from ebpfasm.errors import AsmError, EbpfError, error
from ebpfasm.ir import CollectionSpec, LinkedProgram, ProgramSpec, link

FORMATS = ("listing", "raw", "hex", "c", "header", "insns", "elf")
_BY_SUFFIX = {".bin": "raw", ".hex": "hex", ".c": "c", ".h": "header", ".o": "elf"}
_CPUS = ("v1", "v2", "v3", "v4")
DIALECTS = ("llvm", "mnemonic")

output_option = click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path), help="Write here."
)
byteorder_option = click.option(
    "--byteorder", type=click.Choice(["little", "big"]), default="little", show_default=True
)


@click.command("asm")
@file_argument
@output_option
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="By OUT's ending, else a listing."
)
@click.option(
    "--dialect",
    type=click.Choice(["auto", *DIALECTS]),
    default="auto",
    show_default=True,
    help="What FILE is written in.",
)
@click.option("--cpu", type=click.Choice(_CPUS), help="Refuse instructions newer than this.")
@program_option
@byteorder_option
def asm_command(
    file: Path,
    output: Path | None,
    kind: str | None,
    dialect: str,
    cpu: str | None,
    prog: str | None,
    byteorder: str,
) -> None:
    """Assemble FILE and print it as a listing, or write its bytes or an ELF object.

    A program's references to maps are 0 in the bytes: they are filled in when it is loaded. An
    object holds all programs, with their maps and relocations. `c` is an array of bytes, `header`
    the same with include guards, `insns` an array of struct bpf_insn. FILE may be what clang -S
    wrote if an object is made of it.
    """
    kind = kind or (_BY_SUFFIX.get(output.suffix, "raw") if output is not None else "listing")
    order: ebpfasm.isa.codec.ByteOrder = "big" if byteorder == "big" else "little"
    if kind == "elf" and prog is not None:
        raise EbpfError(error("cli-usage", "an object holds all programs: --prog chooses none"))
    compiled = object_of_file(file, dialect, cpu, order) if kind == "elf" else None
    if compiled is not None:
        from ebpfasm.emit.elf import write_elf

        write_output(write_elf(compiled), output)
        return
    spec = open_file(file, dialect, order)
    if cpu is not None:
        _check_cpu(spec, cpu)
    write_output(_artefact(spec, kind, prog, order), output)


def _artefact(
    spec: CollectionSpec, kind: str, prog: str | None, byteorder: ebpfasm.isa.codec.ByteOrder
) -> bytes:
    from ebpfasm import emit

    if kind == "listing":
        programs = [choose(spec, prog)] if prog else list(spec.programs.values())
        return "\n\n".join(_listing(link(each), byteorder) for each in programs).encode() + b"\n"
    if kind == "elf":
        return ebpfasm.to_elf(spec, byteorder=byteorder)
    program = choose(spec, prog)
    image = emit.image(link(program), byteorder=byteorder)
    match kind:
        case "raw":
            return image.code
        case "hex":
            return emit.hex_text(image).encode()
        case "insns":
            return emit.c_instructions(image, program.name).encode()
        case "header":
            return emit.c_header(image, program.name).encode()
        case _:
            return emit.c_array(image, program.name).encode()


def _listing(linked: LinkedProgram, byteorder: ebpfasm.isa.codec.ByteOrder) -> str:
    from ebpfasm.emit.listing import listing

    slots = sum(each.slots for each in linked.instructions)
    kind = linked.type or "no program type"
    head = f"; {linked.name}: section {linked.program.section}, {kind}, {slots} slots"
    return "\n".join([head, *listing(linked, byteorder=byteorder)])


def _check_cpu(spec: CollectionSpec, cpu: str) -> None:
    wrong = [
        error(
            "asm-cpu",
            f"{each.spec.name} needs -mcpu={each.spec.cpu}",
            each.span,
            hint=f"it came with {each.spec.cpu}; {cpu} was asked for",
        )
        for program in spec.programs.values()
        for each in _all_instructions(program)
        if each.spec.cpu > cpu
    ]
    if wrong:
        raise AsmError(*wrong)


def _all_instructions(program: ProgramSpec) -> Iterator[ebpfasm.ir.Instruction]:
    for stream in (program.instructions, *(each.instructions for each in program.functions)):
        yield from ebpfasm.ir.instructions_of(stream)
