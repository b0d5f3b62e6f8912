"""libbpf as judge of CO-RE: the instructions that it would hand to the kernel, by program.

What is compared with them goes the shortest way from the object: its sections, its .BTF.ext, the
resolver. How programs are made of objects is judged elsewhere.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from ebpfasm.btf.core import Resolver
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.records import read_ext
from ebpfasm.elf.reader import read_object
from ebpfasm.emit.code import image
from ebpfasm.ir.core import Resolved, resolve_core
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import link
from ebpfasm.ir.references import CoreRef
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa import codec as instructions
from tests.support import DATA, find_tool, missing

SOURCES = DATA / "core"
LIBBPF = ("-lbpf",)  # what links it

_JUDGE = r"""
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

static char said[1 << 16];

static int say(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t length = strlen(said);
	if (level == LIBBPF_WARN)
		vsnprintf(said + length, sizeof(said) - length, format, arguments);
	return 0;
}

int main(int count, char **arguments)
{
	struct bpf_object_open_opts options = {.sz = sizeof(options)};
	struct bpf_program *program;
	struct bpf_object *object;

	if (count > 2)
		options.btf_custom_path = arguments[2];
	libbpf_set_print(say);
	object = bpf_object__open_file(arguments[1], &options);
	if (!object)
		return printf("! %s", said), 0;
	bpf_object__load(object); /* relocates them all before the first meets the verifier */
	if (strstr(said, "failed to perform CO-RE relocations"))
		return printf("! %s", said), 0;
	bpf_object__for_each_program(program, object) {
		const unsigned char *code = (const void *)bpf_program__insns(program);
		printf("%s ", bpf_program__name(program));
		for (size_t i = 0; i < 8 * bpf_program__insn_cnt(program); i++)
			printf("%02x", code[i]);
		puts("");
	}
	return 0;
}
"""


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="core-judge-"))


@cache
def _judge() -> Path:
    program = _folder() / "judge"
    command = [find_tool("gcc"), "-xc", "-", "-o", str(program), *LIBBPF]
    built = subprocess.run(command, input=_JUDGE, capture_output=True, text=True, check=False)
    if built.returncode:
        missing("libbpf", f"libbpf cannot be used: {built.stderr.splitlines()[0]}")
    return program


def compiled(source: Path | str, *options: str) -> Path:
    """Compile C, a file of tests/data/core or the text itself, for BPF."""
    return _compiled(source, options)


@cache
def _compiled(source: Path | str, options: tuple[str, ...]) -> Path:
    target = _folder() / f"{_compiled.cache_info().misses}.o"
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    command = [
        find_tool("clang"), "-target", "bpf", "-g", "-O2", "-I", str(SOURCES), *options,
        "-xc", "-", "-c", "-o", str(target),
    ]  # fmt: skip
    subprocess.run(command, input=text, text=True, check=True, timeout=60)
    return target


def by_libbpf(compiled_object: Path, target: Path | None) -> dict[str, str] | str:
    """Each program's instructions as hex; or what libbpf says where it refuses the object."""
    command = [str(_judge()), str(compiled_object), *([str(target)] if target else [])]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    if out.startswith("!"):
        return out
    return dict(line.split(" ", 1) for line in out.splitlines())


class Ours(NamedTuple):
    """Programs by name, with the types that they were compiled against."""

    programs: dict[str, ProgramSpec]
    types: BtfIndex


def read(compiled_object: Path) -> Ours:
    """The programs of an object, one a section, with their CO-RE relocations."""
    found = read_object(compiled_object.read_bytes())
    sections = {each.name: each for each in found.sections}
    types = BtfIndex(sections[".BTF"].content)
    records: dict[str, dict[int, CoreRef]] = {}
    table = read_ext(sections[".BTF.ext"].content).relocations
    for name, words in table.sections.items():
        rows = zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True)
        records[types.strings.at(name)] = {
            offset: CoreRef(type_id, types.strings.at(access), kind)
            for offset, type_id, access, kind in rows
        }
    programs = {}
    for section in found.sections:
        if section.executable and section.content:
            called = section.name.rpartition("/")[2]
            items = _items(section.content, records.get(section.name, {}))
            programs[called] = ProgramSpec(called, section.name, "raw_tracepoint", items)
    return Ours(programs, types)


def _items(code: bytes, refs: dict[int, CoreRef]) -> tuple[Instruction, ...]:
    items, offset = [], 0
    for fields in instructions.decode(code):
        items.append(Instruction(*fields, ref=refs.get(offset)))
        offset += items[-1].slots * 8
    return tuple(items)


def btf_of(compiled_object: Path) -> BtfIndex:
    """An object's types."""
    section = read_object(compiled_object.read_bytes()).section(".BTF")
    assert section is not None
    return BtfIndex(section.content)


def resolved(compiled_object: Path, target: BtfIndex) -> dict[str, Resolved]:
    """Each program as we resolve it. Raises LinkError."""
    ours = read(compiled_object)
    resolver = Resolver(ours.types, target)
    return {name: resolve_core(each, resolver) for name, each in ours.programs.items()}


def code_of(each: Resolved) -> str:
    """A program's instructions as hex."""
    return image(link(each.program)).code.hex()
