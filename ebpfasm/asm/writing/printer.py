"""IR to text: instructions as llvm-objdump --mcpu=v4 writes them, and whole files.

What is printed assembles to the same IR again: names are kept, and what LLVM's text loses
(the kind of a 64-bit immediate and of a call) is written as `ld_pseudo`, `call pc+N` and
`call btf_id(N, M)`. Files are printed in either dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from ebpfasm.asm.jump_tables import print_tables
from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.asm.writing import data_printer, mnemonic_printer
from ebpfasm.errors import Location
from ebpfasm.ir import (
    CollectionSpec,
    CoreRef,
    FunctionRef,
    Instruction,
    Item,
    KfuncRef,
    KsymRef,
    Label,
    LabelRef,
    MapRef,
    MapSpec,
    ProgramSpec,
    VarRef,
    VarSpec,
)
from ebpfasm.ir.specs import data_section
from ebpfasm.ir.tables import is_table
from ebpfasm.isa import helpers
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import InstructionSpec

_INDENT = "    "


def text_of(each: Instruction, *, plain: bool = False) -> str:
    """One instruction as text; `plain` is just llvm-objdump's, without the names it does not know.

    >>> from ebpfasm.ir import instruction
    >>> text_of(instruction("ldxw", dst=2, src=1, off=4))
    'w2 = *(u32 *)(r1 + 0x4)'
    """
    spec = each.spec
    named = None if plain else _by_name(each)
    if named is not None:
        return named
    return spell(
        spec,
        dst=str(each.dst),
        src=str(each.src),
        mem=_offset(each.off),
        imm=_hex(each.imm),
        to=_target(each),
        off=_hex(each.off),
        as_dst=_hex(each.imm >> 16 & 0xFFFF),
        as_src=_hex(each.imm & 0xFFFF),
        index=f" {_offset(each.imm)}" if each.imm else "",
    )


def spell(
    spec: InstructionSpec,
    *,
    dst: str,
    src: str,
    mem: str,
    imm: str,
    to: str,
    off: str,
    as_dst: str,
    as_src: str,
    index: str,
) -> str:
    """A row's text with its operands: registers' numbers, and all else as it is written."""
    value = "w" if spec.narrow else "r"
    return spec.form.syntax.format(
        dst=f"{value}{dst}",
        src=f"{value}{src}",
        base=f"r{src if spec.form.base == 'src' else dst}",
        mem=mem,
        imm=imm,
        sym=spec.symbol,
        op=spec.op.removeprefix("atomic_"),
        ty=spec.memory_type,
        width=spec.width,
        to=to,
        off=off,
        pseudo=spec.fixed_fields.get("src", 0),
        as_dst=as_dst,
        as_src=as_src,
        index=f"r{src}{index}",
    )


# How an instruction is written whose number a name stands for.
ADDRESS, CALL = "r{dst} = {name} ll", "call {name}"


def _by_name(each: Instruction) -> str | None:
    """The text of an instruction that a name says more about than its numbers."""
    match each.ref:
        case VarRef():
            return ADDRESS.format(dst=each.dst, name=each.ref.written)
        case MapRef(name=name) | KsymRef(name=name):
            return ADDRESS.format(dst=each.dst, name=name)
        case FunctionRef(name=name) if each.spec.form is Form.LOAD_PSEUDO:
            return ADDRESS.format(dst=each.dst, name=name)
        case FunctionRef(name=name) | KfuncRef(name=name):
            return CALL.format(name=name)
        case None if each.spec.form is Form.CALL_HELPER:
            helper = helpers.find(each.imm)
            return CALL.format(name=helper.name) if helper is not None else None
        case None | LabelRef() | CoreRef():
            return None
        case _:
            assert_never(each.ref)


def _unsaid(each: Instruction) -> str:
    """What an instruction refers to that the language has no words for: only an object says it."""
    match each.ref:
        case CoreRef(type_id=type_id, access=access, kind=kind):
            return f"CO-RE: type {type_id}, {access}, kind {kind}"
        case KfuncRef() | KsymRef():
            return "of the kernel"
        case _:
            return ""


def _target(each: Instruction) -> str:
    match each.ref, each.spec.form:
        case LabelRef(name=name), _:
            return name
        case _, Form.CALL_LOCAL:
            return f"pc{each.imm:+}"
        case _, Form.JUMP_LONG:
            return _signed_hex(each.imm)
        case _:
            return _signed_hex(each.off)


def _hex(number: int) -> str:
    return f"-{-number:#x}" if number < 0 else f"{number:#x}"


def _signed_hex(number: int) -> str:
    return f"{'-' if number < 0 else '+'}{abs(number):#x}"


def _offset(number: int) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):#x}"


def source_line(place: Location) -> str:
    """The comment that shows a line of source: its file, number and text."""
    text = " ".join(f"{place.name}:{place.line}: {place.line_text.strip()}".split())
    # What cannot be printed could end the comment, or not be written at all.
    return f"{_INDENT}# " + "".join(char if char.isprintable() else " " for char in text).rstrip()


def print_items(
    items: Iterable[Item], dialect: Dialect = "llvm", *, source: bool = False
) -> Iterator[str]:
    """A stream as lines, labels at the left; `source` puts lines of source above, as comments.

    Instructions that came from one line have it once, above the first of them.
    """
    write = text_of if dialect == "llvm" else mnemonic_printer.text_of
    above = None
    for item in items:
        match item:
            case Label(name=name):
                yield f"{name}:"
            case Instruction():
                if source and item.span is not None:
                    place = item.span.name, item.span.line
                    if place != above:
                        yield source_line(item.span)
                    above = place
                comment = item.comment or _unsaid(item)
                yield f"{_INDENT}{write(item)}{f'  # {comment}' if comment else ''}"
            case _:
                assert_never(item)


def print_map(spec: MapSpec, *, template: bool = False) -> str:
    """The `.map` directive that describes a map; its inner map has one of its own."""
    words = [f".map {spec.name}", str(spec.type), *(["template"] if template else [])]
    for side, kind, size in (
        ("key", spec.key, spec.key_size),
        ("value", spec.value, spec.value_size),
    ):
        words.append(f"{side}={kind}" if kind else f"{side}_size={size}")
    words.append(f"max_entries={spec.max_entries}")
    if spec.flags:
        words.append(f"flags={spec.flags:#x}")
    if spec.inner is not None:
        words.append(f"inner={spec.inner.name}")
    if spec.pinning:
        words.append(f"pinning={spec.pinning}")
    if spec.numa_node is not None:
        words.append(f"numa_node={spec.numa_node}")
    if spec.map_extra:
        words.append(f"map_extra={spec.map_extra:#x}")
    return ", ".join(words)


def print_maps(maps: Iterable[MapSpec]) -> Iterator[str]:
    """The directives of maps, those that are inner ones above those that they are in."""
    by_name = {spec.name: spec for spec in maps}
    printed: dict[str, MapSpec] = {}
    for spec in by_name.values():
        inner = spec.inner
        if inner is not None and inner.name not in printed:
            yield print_map(inner, template=by_name.get(inner.name) != inner)
            printed[inner.name] = inner
        if spec.name not in printed:
            yield print_map(spec)
            printed[spec.name] = spec


def print_program(program: ProgramSpec, dialect: Dialect = "llvm", *, source: bool = False) -> str:
    """One program with what it reaches, as a file of its own."""
    return _file([program], program.maps, program.license, dialect, source=source)


def print_collection(
    spec: CollectionSpec, dialect: Dialect = "llvm", *, source: bool = False
) -> str:
    """A whole collection as a file that assembles to the same collection."""
    programs, variables = list(spec.programs.values()), spec.variables.values()
    return _file(programs, spec.maps.values(), spec.license, dialect, variables, source=source)


def _file(
    programs: list[ProgramSpec],
    maps: Iterable[MapSpec],
    license: str,
    dialect: Dialect,
    variables: Iterable[VarSpec] = (),
    *,
    source: bool = False,
) -> str:
    lines = [f'.license "{license}"'] if license else []
    maps = list(maps)
    tables = {each.name: each for each in maps if is_table(each)}
    lines += print_maps(
        each for each in maps if data_section(each.name) is None and each.name not in tables
    )
    lines += [f".extern {name}" for name in _kernel_functions(programs)]
    streams = (stream for each in programs for stream in _streams(each))
    known = data_printer.variables_of(streams, variables)
    section = ".text"
    for spec in maps:
        if data_section(spec.name) is not None:
            section = spec.name
            lines += data_printer.print_data(spec, known)
    bases = data_printer.bases_of(each for each in known if each.map not in tables)
    for program in programs:
        wanted = program.section or ".text"
        if wanted != section:
            section = wanted
            lines.append(f".section {section}")
        items = data_printer.with_addends(program.instructions, bases)
        lines += _function(program.name, items, dialect, source)
        lines += print_tables(tables.values(), program.name)
    functions = {each.name: each for program in programs for each in program.functions}
    if functions and section != ".text":
        lines.append(".text")
    for function in functions.values():
        items = data_printer.with_addends(function.instructions, bases)
        lines += _function(function.name, items, dialect, source)
        lines += print_tables(tables.values(), function.name)
    return "\n".join(lines) + "\n"


def _kernel_functions(programs: list[ProgramSpec]) -> dict[str, None]:
    """The functions of the kernel that programs call, in the order of the calls."""
    return {
        item.ref.name: None
        for each in programs
        for stream in _streams(each)
        for item in stream
        if isinstance(item, Instruction) and isinstance(item.ref, KfuncRef)
    }


def _streams(program: ProgramSpec) -> list[Sequence[Item]]:
    return [program.instructions, *(each.instructions for each in program.functions)]


def _function(name: str, items: Sequence[Item], dialect: Dialect, source: bool) -> list[str]:
    first = items[0] if items else None
    own_label = isinstance(first, Label) and first.name == name
    # A function that jumps to its own start carries its name as a label already.
    head = [f".globl {name}", *([] if own_label else [f"{name}:"])]
    return [*head, *print_items(items, dialect, source=source)]
