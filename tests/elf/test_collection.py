"""Objects of clang as collections: what is read, and what is told where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.asm.objects import assemble_object
from ebpfasm.elf import collection_of, read_object
from ebpfasm.errors import BtfError, ElfError, LineSpan
from ebpfasm.ir import Instruction, instructions_of
from ebpfasm.ir.object import Object, ObjectSymbol
from ebpfasm.ir.references import CoreRef, FunctionRef, KfuncRef, KsymRef, LabelRef, MapRef, VarRef
from ebpfasm.ir.specs import CollectionSpec, MapSpec
from tests.elf.objects import CPUS, SOURCES, assembled, compiled
from tests.support import find_tool

pytestmark = pytest.mark.tool("clang")

EVERY = ("data", "calls", "maps", "core", "kconfig", "kernel", "struct_ops", "arena", "plain")


def built(text: str, folder: Path, *options: str, name: str = "x") -> Path:
    """An object of a few lines of C."""
    source = folder / f"{name}.c"
    source.write_text(text)
    out = folder / f"{name}.o"
    command = [find_tool("clang"), "-target", "bpf", "-O2", "-c", *options, str(source)]
    subprocess.run([*command, "-o", str(out)], check=True)
    return out


def refused(path: Path) -> list[str]:
    with pytest.raises(ElfError) as problem:
        ebpfasm.open(path)
    return [each.message for each in problem.value.diagnostics]


FIVE = (5).to_bytes(8, sys.byteorder)  # a context that begins with this number
SEC = "#define SEC(n) __attribute__((section(n), used))\n"


# Programs ----------------------------------------------------------------------------------------


def test_a_file_without_sections_has_the_program_that_nobody_calls() -> None:
    spec = ebpfasm.open(compiled("plain"))
    assert list(spec.programs) == ["entry"]
    entry = spec.programs["entry"]
    assert (entry.type, entry.section) == ("", ".text")
    assert [each.name for each in entry.functions] == ["called", "helper"]
    assert ebpfasm.run(entry, ctx=FIVE, engine="vm").retval == 12


@pytest.mark.parametrize("name", ["data", "calls", "maps", "core", "kconfig", "struct_ops"])
def test_a_file_without_what_debuggers_read_is_the_same_collection(name: str) -> None:
    content = compiled(name).read_bytes()
    whole, part = read_object(content), read_object(content, whole=False)
    assert collection_of(part) == collection_of(whole)
    left = {each.name for each in whole.sections} - {each.name for each in part.sections}
    assert left == {each.name for each in whole.sections if each.name.startswith(".debug_")}
    assert len(left) > 4
    omitted = {each.name for each in part.symbols if each.section == "omitted"}
    assert omitted == {
        each.name for each in whole.symbols
        if isinstance(each.section, int) and whole.sections[each.section].name in left
    }  # fmt: skip


def test_the_user_says_what_a_section_is(tmp_path: Path) -> None:
    path = built(SEC + 'SEC("mine") int f(void *c) { return 1; }', tmp_path)
    assert ebpfasm.open(path).programs["f"].type == ""
    assert ebpfasm.open(path, types={"mine": "xdp"}).programs["f"].type == "xdp"
    found = ebpfasm.open(path, types={"mine": "kprobe/do_exit"}).programs["f"]
    assert (found.type, found.attach_target, found.section) == ("kprobe", "do_exit", "mine")
    with pytest.raises(ElfError, match="'xpd' is neither a program type nor a section"):
        ebpfasm.open(path, types={"mine": "xpd"})


def test_section_names_of_old_files_still_say_the_type(tmp_path: Path) -> None:
    path = built(SEC + 'SEC("xdp_prog") int f(void *c) { return 1; }', tmp_path)
    assert ebpfasm.open(path).programs["f"].type == "xdp"


def test_instructions_stand_at_their_lines_of_c() -> None:
    spec = ebpfasm.open(compiled("data"))
    source = (SOURCES / "data.c").read_text().splitlines()
    spans = [each.span for each in instructions_of(spec.programs["uses_all"].instructions)]
    assert all(isinstance(span, LineSpan) for span in spans)
    shown = {span.line: span.line_text for span in spans if span is not None and span.line}
    assert shown
    assert all(text == source[line - 1] for line, text in shown.items())
    assert any("counter += threshold" in text for text in shown.values())


def test_a_function_gets_labels_when_somebody_looks(tmp_path: Path) -> None:
    path = built(
        SEC + 'SEC("xdp") int f(int *c) { return *c > 5 ? *c * 3 : 0; }', tmp_path, "-mcpu=v1"
    )
    text = ebpfasm.disassemble(ebpfasm.open(path))
    assert "goto L1" in text
    again = ebpfasm.assemble(text)
    assert again.programs["f"].instructions == ebpfasm.open(path).programs["f"].instructions


def test_calls_between_sections_are_calls(tmp_path: Path) -> None:
    path = built(
        SEC + 'SEC("raw_tp/a") __attribute__((noinline)) int one(int *c) { return *c; }\n'
        'SEC("raw_tp/b") int two(int *c) { return one(c) + 1; }',
        tmp_path,
    )
    spec = ebpfasm.open(path)
    assert list(spec.programs) == ["one", "two"]
    assert [each.name for each in spec.programs["two"].functions] == ["one"]
    assert ebpfasm.run(spec.programs["two"], ctx=FIVE, engine="vm").retval == 6


def aged(path: Path, *, symbols: bool) -> Object:
    """An object as older compilers made it: functions without types, or without symbols at all."""
    read = read_object(path.read_bytes())

    def old(symbol: ObjectSymbol) -> ObjectSymbol:
        if symbol.type != "func":
            return symbol
        return replace(symbol, type="notype", size=0) if symbols else ObjectSymbol("", "absolute")

    return replace(read, symbols=tuple(map(old, read.symbols)))


@pytest.mark.parametrize("symbols", [True, False])
def test_functions_of_old_compilers_are_found_by_their_places(symbols: bool) -> None:
    path = compiled("legacy", "-DKIND=3", "-g0")
    new, spec = ebpfasm.open(path), collection_of(aged(path, symbols=symbols))
    names = ["main_program", "jumped_to"] if symbols else ["classifier", "7/2"]
    assert list(spec.programs) == names
    for name, program in zip(names, new.programs.values(), strict=True):
        assert spec.programs[name].instructions == program.instructions
        assert spec.programs[name].type == program.type


def test_a_label_names_what_a_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.s"
    path.write_text('.file "x"\n.section xdp,"ax",@progbits\nmine:\nr0 = 2\nexit\n')
    assert list(ebpfasm.open(path).programs) == ["mine"]


def test_an_exception_callback_comes_along_though_nobody_calls_it(tmp_path: Path) -> None:
    text = SEC + (
        '#define CB __attribute__((btf_decl_tag("exception_callback:on_throw")))\n'
        "__attribute__((noinline)) int on_throw(unsigned long long cookie) { return 7; }\n"
        'SEC("tc") CB int f(void *c) { return 1; }\n'
        'SEC("tc") int g(void *c) { return 2; }'
    )
    spec = ebpfasm.open(built(text, tmp_path, "-g"))
    found = {name: [each.name for each in program.functions]
             for name, program in spec.programs.items()}  # fmt: skip
    assert found == {"f": ["on_throw"], "g": []}


# References --------------------------------------------------------------------------------------


def references(spec: CollectionSpec, program: str) -> list[object]:
    found = instructions_of(spec.programs[program].instructions)
    return [each.ref for each in found if not isinstance(each.ref, LabelRef | None)]


def test_kernel_names_stay_names() -> None:
    spec = ebpfasm.open(compiled("kernel"))
    found = references(spec, "on_new_task")
    functions = [(each.name, each.weak) for each in found if isinstance(each, KfuncRef)]
    symbols = [(each.name, each.weak) for each in found if isinstance(each, KsymRef)]
    assert functions == [
        ("bpf_task_acquire", False),
        ("bpf_task_release", False),
        ("no_such_kfunc", True),
    ]
    assert sorted(symbols) == [
        ("bpf_prog_active", True),
        ("no_such_kfunc", True),
        ("runqueues_that_are_not", True),
    ]
    typed = {each.name: bool(each.type_id) for each in found if isinstance(each, KsymRef)}
    assert typed == {
        "bpf_prog_active": False,
        "no_such_kfunc": True,
        "runqueues_that_are_not": True,
    }


def test_core_records_are_at_their_instructions() -> None:
    spec = ebpfasm.open(compiled("core"))
    debug = spec.debug
    assert debug is not None
    found = [
        each
        for program in spec.programs.values()
        for body in (program.instructions, *(each.instructions for each in program.functions))
        for each in instructions_of(body)
        if isinstance(each.ref, CoreRef)
    ]
    assert len(found) == 10
    for each in found:
        assert isinstance(each.ref, CoreRef)
        assert each.span is not None
        assert debug.btf.get(each.ref.type_id) is not None
    names = {getattr(debug.btf.get(each.ref.type_id), "name", "") for each in found
             if isinstance(each.ref, CoreRef)}  # fmt: skip
    assert names == {"task_struct", "task_struct___old", "no_such_struct", "pid_type"}


def test_what_text_cannot_say_stands_beside_it_as_a_comment() -> None:
    text = ebpfasm.disassemble(ebpfasm.open(compiled("core")))
    assert text.count("  # CO-RE: type ") == 10
    text = ebpfasm.disassemble(ebpfasm.open(compiled("kernel")))
    assert "call bpf_task_acquire  # of the kernel" in text


BEFORE = """
.section .data,"aw",@progbits
first: .long 1
.globl second
.type second,@object
.size second,4
second: .long 2
.section tc,"ax",@progbits
.globl f
.type f,@function
f:
    r1 = second-4 ll
    r2 = first-1 ll
    r0 = second+8 ll
    exit
"""


def test_an_address_may_lie_before_or_behind_its_variable() -> None:
    program = collection_of(assemble_object(BEFORE, "x.s"), "x.o").programs["f"]
    found = [each.ref for each in instructions_of(program.instructions) if each.ref is not None]
    assert found == [
        VarRef(".data", "second", 0), VarRef(".data", "", -1), VarRef(".data", "second", 12),
    ]  # fmt: skip


# Variables ---------------------------------------------------------------------------------------


def test_variables_have_their_types_and_values() -> None:
    spec = ebpfasm.open(compiled("data"))
    values = {name: each.value for name, each in spec.variables.items() if "." not in name}
    assert values == {
        "threshold": 7,
        "limits": {"first": 1, "second": -2},
        "counter": 5,
        "table": [1, 2, 3, 4, 5, 6, 7, 8],
        "weak_one": 3,
        "zeroed": 0,
        "scratch": b"",
        "hidden": 9,
        "custom": 0xABCD,
        "names": [b"one", b"two"],
        "apart": 0,
    }
    linkage = {name: each.linkage for name, each in spec.variables.items()}
    assert linkage["table"] == "static"
    assert linkage["weak_one"] == "weak"
    assert linkage["counter"] == "global"
    assert spec.variables["custom"].section == ".data.custom"


def test_a_value_that_is_set_is_seen_by_the_machine_and_the_object(tmp_path: Path) -> None:
    path = built(
        SEC + 'const volatile int answer = 1;\nSEC("xdp") int f(void *c) { return answer; }',
        tmp_path, "-g",
    )  # fmt: skip
    spec = ebpfasm.open(path)
    assert ebpfasm.run(spec.programs["f"], bytes(64), engine="vm").retval == 1
    spec.variables["answer"].value = 42
    assert spec.variables["answer"].value == 42
    assert ebpfasm.run(spec.programs["f"], bytes(64), engine="vm").retval == 42
    assert ebpfasm.open(ebpfasm.to_elf(spec)).variables["answer"].value == 42
    with pytest.raises(ebpfasm.EncodeError, match="variable 'answer' is an integer"):
        spec.variables["answer"].value = 1 << 40
    with pytest.raises(AttributeError):
        spec.variables["answer"].offset = 8  # type: ignore[misc]
    assert ebpfasm.open(path).variables["answer"].value == 1


def test_arena_variables_are_in_the_arena() -> None:
    spec = ebpfasm.open(compiled("arena"))
    assert list(spec.maps) == ["arena"]
    assert bytes(spec.maps["arena"].contents) == b"".join(
        each.to_bytes(4, "little") for each in (11, 1, 2, 3, 4)
    )
    assert spec.variables["second"].value == [1, 2, 3, 4]
    found = {ref.name: ref.offset for ref in references(spec, "touch") if isinstance(ref, VarRef)}
    assert {ref.map for ref in references(spec, "touch") if isinstance(ref, VarRef)} == {"arena"}
    assert found["first"] == 0


def test_kconfig_is_laid_out_as_libbpf_does_it() -> None:
    spec = ebpfasm.open(compiled("kconfig"))
    found = {name: (each.offset, each.kind, each.weak) for name, each in spec.kconfig.items()}
    assert found == {
        "CONFIG_NO_SUCH_LONG": (0, "int", True),
        "CONFIG_BPF_SYSCALL": (8, "tristate", True),
        "CONFIG_HZ": (12, "int", True),
        "LINUX_KERNEL_VERSION": (16, "int", False),
        "CONFIG_BPF": (20, "bool", True),
        "CONFIG_NO_SUCH_CHAR": (21, "char", True),
        "CONFIG_NO_SUCH_STRING": (22, "string", True),
    }
    spec.variables["CONFIG_HZ"].value = 250
    assert spec.maps[".kconfig"].contents == bytes(12) + (250).to_bytes(4, "little")


def test_struct_ops_maps_name_their_programs_by_member() -> None:
    spec = ebpfasm.open(compiled("struct_ops"))
    table = spec.maps["plain"]
    assert (table.type, table.value_size, table.flags) == ("struct_ops", 48, 0)
    assert {at: ref.name for at, ref in table.initial.items()} == {
        0: "plain_ssthresh", 8: "plain_cong_avoid", 16: "plain_undo",
    }  # fmt: skip
    assert bytes(table.contents)[28:37] == b"bpf_plain"


# Maps --------------------------------------------------------------------------------------------


def test_maps_of_libbpf_before_1_0() -> None:
    spec = ebpfasm.open(compiled("legacy", "-DKIND=1"))
    assert dict(spec.maps) == {"first": MapSpec("first", "hash", 4, 8, 100, 1)}
    program = spec.programs["main_program"]
    assert (program.type, spec.license, spec.version) == ("sched_cls", "GPL", 0x40E01)
    assert references(spec, "main_program") == [MapRef("first")]
    assert ebpfasm.open(ebpfasm.to_elf(spec)).version == 0x40E01


def test_maps_of_the_kernels_samples() -> None:
    spec = ebpfasm.open(compiled("legacy", "-DKIND=2"))
    first = MapSpec("first", "hash", 4, 8, 100, 1)
    assert dict(spec.maps) == {
        "first": first,
        "on_node": MapSpec("on_node", "array", 4, 8, 3, 4, numa_node=0),
        "outer": MapSpec("outer", "array_of_maps", 4, 4, 9, inner=first),
    }


def test_maps_of_iproute2() -> None:
    spec = ebpfasm.open(compiled("legacy", "-DKIND=3"))
    first = MapSpec("first", "hash", 4, 8, 100, 1)
    assert dict(spec.maps) == {
        "first": first,
        "outer": MapSpec(
            "outer", "hash_of_maps", 4, 4, 9, inner=first, initial={3: MapRef("first")}
        ),
        "jumps": MapSpec(
            "jumps", "prog_array", 4, 4, 9, pinning="by_name", initial={2: FunctionRef("jumped_to")}
        ),
    }
    assert {name: each.type for name, each in spec.programs.items()} == {
        "main_program": "sched_cls",
        "jumped_to": "sched_cls",
    }


# The same in other ways --------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_assembly_is_read_as_the_object_is(name: str) -> None:
    spec, other = ebpfasm.open(compiled(name)), ebpfasm.open(assembled(name))
    assert other.programs == spec.programs
    assert other.maps == spec.maps
    assert other.variables == spec.variables
    assert other.kconfig == spec.kconfig
    assert (other.license, other.version) == (spec.license, spec.version)


@pytest.mark.parametrize("name", EVERY)
def test_an_object_of_the_other_byte_order_says_the_same(name: str) -> None:
    little, big = (ebpfasm.open(compiled(name, target=each)) for each in ("bpfel", "bpfeb"))
    assert (little.byteorder, big.byteorder) == ("little", "big")
    assert list(big.programs) == list(little.programs)
    for program in big.programs.values():
        other = little.programs[program.name]
        assert [len(each.instructions) for each in program.functions] == [
            len(each.instructions) for each in other.functions
        ]
        for mine, its in zip(program.instructions, other.instructions, strict=True):
            assert isinstance(mine, Instruction) == isinstance(its, Instruction)
            if isinstance(mine, Instruction) and isinstance(its, Instruction):
                assert mine.spec == its.spec
                assert mine.ref == its.ref or isinstance(mine.ref, CoreRef)
        assert ebpfasm.verify(program).ok == ebpfasm.verify(other).ok
    for name_, variable in big.variables.items():
        if isinstance(variable.value, int):
            assert variable.value == little.variables[name_].value
    assert ebpfasm.open(ebpfasm.to_elf(big)).byteorder == "big"


@pytest.mark.parametrize("cpu", CPUS)
def test_without_debug_information_instructions_are_the_same(cpu: str) -> None:
    with_, without = (ebpfasm.open(compiled("legacy", "-DKIND=1", option, cpu=cpu))
                      for option in ("-g", "-g0"))  # fmt: skip
    assert with_.programs == without.programs
    assert without.debug is None


@pytest.mark.tool("bpftool")
def test_a_linked_object_has_the_strong_function_and_both_static_ones(tmp_path: Path) -> None:
    one = built(
        SEC + "__attribute__((weak, noinline)) int shared(int x) { return x + 1; }\n"
        "static volatile int mine = 1;\n"
        "static __attribute__((noinline)) int same(int x) { mine += x; return mine; }\n"
        'SEC("raw_tp/a") int first(int *c) { return shared(*c) + same(2); }',
        tmp_path, "-g", name="one",
    )  # fmt: skip
    two = built(
        SEC + "__attribute__((noinline)) int shared(int x) { return x * 100; }\n"
        "static volatile int mine = 1000;\n"
        "static __attribute__((noinline)) int same(int x) { mine += x; return mine; }\n"
        'SEC("raw_tp/b") int second(int *c) { return shared(*c) + same(3); }',
        tmp_path, "-g", name="two",
    )  # fmt: skip
    out = tmp_path / "both.o"
    command = [find_tool("bpftool"), "gen", "object", str(out), str(one), str(two)]
    subprocess.run(command, check=True)
    spec = ebpfasm.open(out)
    assert list(spec.programs) == ["first", "second"]
    results = {
        name: ebpfasm.run(program, ctx=FIVE, engine="reference").retval
        for name, program in spec.programs.items()
    }
    assert results == {"first": 503, "second": 1503}


# What cannot be ----------------------------------------------------------------------------------


def test_a_function_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = built(
        SEC + 'int lost(int);\nSEC("xdp") int f(int *c) { return lost(*c); }', tmp_path, "-g"
    )
    (message,) = refused(path)
    assert message == f"{path}: f (section xdp, offset 0x8): function 'lost' is not defined"


def test_a_variable_without_a_section_is_named(tmp_path: Path) -> None:
    path = built(SEC + 'int lost;\nSEC("xdp") int f(int *c) { return lost; }', tmp_path, "-fcommon")
    (message,) = refused(path)
    assert message == f"{path}: f (section xdp, offset 0x0): variable 'lost' has no section"


def test_a_pointer_in_data_that_a_program_reads_is_named(tmp_path: Path) -> None:
    text = SEC + (
        'int target; int *pointer = &target;\nSEC("xdp") int f(int *c) { return *pointer; }'
    )
    (message,) = refused(built(text, tmp_path))
    assert "variable 'pointer' holds the address of 'target'" in message
    unread = text.replace("*pointer;", "target;")
    assert list(ebpfasm.open(built(unread, tmp_path)).programs) == ["f"]


def test_every_mistake_is_told(tmp_path: Path) -> None:
    text = SEC + (
        "int one(int), two(int);\n"
        'SEC("xdp") int f(int *c) { return one(*c) + two(*c); }\n'
        'SEC("tc") int g(int *c) { return two(*c); }'
    )
    messages = refused(built(text, tmp_path))
    assert [each.partition("function ")[2] for each in messages] == [
        "'one' is not defined", "'two' is not defined", "'two' is not defined",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("int (*type)[1]; int (*nonsense)[2];", "there is no attribute 'nonsense'"),
        ("int (*max_entries)[2];", "its type is missing"),
        ("int *type;", "'type' does not point to an array"),
        ("int type;", "'type' is no pointer"),
        ("int (*type)[1]; int *key; int (*key_size)[8];", "its key_size is 4 and 8"),
        ("int (*type)[1]; int (*pinning)[7];", "its pinning is 7, and only 0 and 1 mean something"),
        (
            "int (*type)[1]; int *values[];",
            "'values' is for maps of maps and prog_array, not for hash",
        ),
    ],
)
def test_a_map_that_is_described_wrongly_is_named(
    members: str, message: str, tmp_path: Path
) -> None:
    path = built(SEC + f'struct {{ {members} }} broken SEC(".maps");', tmp_path, "-g")
    assert refused(path) == [f"{path}: map broken: {message}"]


def test_maps_need_the_types_that_describe_them(tmp_path: Path) -> None:
    path = built(SEC + 'struct { int (*type)[1]; } lost SEC(".maps");', tmp_path)
    assert refused(path) == [f"{path}: section .maps has maps, and no BTF describes them"]


def test_damaged_types_are_told(tmp_path: Path) -> None:
    path = compiled("calls")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x9f\xeb\x01\x00\x18\x00\x00\x00")
    content[at + 2] = 9
    with pytest.raises(BtfError, match="BTF version 9"):
        ebpfasm.open(bytes(content))
