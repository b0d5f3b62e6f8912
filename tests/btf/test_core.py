"""CO-RE against libbpf: the same instructions for the same object and target."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.btf import codec
from ebpfasm.btf.core import Resolver
from ebpfasm.btf.core_value import CoreKind
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.renumber import renumbered
from ebpfasm.btf.types import (
    Array,
    Btf,
    BtfType,
    Enum,
    Enum64,
    Enumerator,
    Float,
    Int,
    IntEncoding,
    Member,
    Ptr,
    Struct,
    Typedef,
    Union,
)
from ebpfasm.errors import BtfError, LinkError
from ebpfasm.ir.core import POISON, resolve_core
from ebpfasm.ir.instruction import Instruction, instruction
from ebpfasm.ir.references import CoreRef
from ebpfasm.ir.specs import ProgramSpec
from tests.btf.core_judge import SOURCES, btf_of, by_libbpf, code_of, compiled, resolved
from tests.btf.core_random import pair
from tests.btf.test_codec import tables

VMLINUX = Path("/sys/kernel/btf/vmlinux")


def alike(local: Path, target: Path, types: BtfIndex | None = None) -> None:
    """Both make the same of each program."""
    theirs = by_libbpf(local, target)
    assert isinstance(theirs, dict), theirs
    found = resolved(local, types or btf_of(target))
    assert {name: code_of(each) for name, each in found.items()} == theirs


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
@pytest.mark.parametrize("cpu", ["v1", "v2", "v3", "v4"])
def test_every_question_has_libbpfs_answer(cpu: str) -> None:
    alike(compiled(SOURCES / "accesses.c", f"-mcpu={cpu}"), compiled(SOURCES / "targets.c"))


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_an_opened_object_is_resolved_as_its_bare_instructions_are() -> None:
    local, target = compiled(SOURCES / "accesses.c"), compiled(SOURCES / "targets.c")
    theirs = by_libbpf(local, target)
    spec = ebpfasm.open(local)
    assert spec.debug is not None
    shared = Resolver(spec.debug.btf, btf_of(target))
    found = {name: resolve_core(each, shared) for name, each in spec.programs.items()}
    assert {name: code_of(each) for name, each in found.items()} == theirs
    assert {slot for _, slot in found["missing_enumerator"].poisons} == {0, 1}
    items = found["missing_enumerator"].program.instructions
    assert [each.imm for each in items if isinstance(each, Instruction)][:2] == [POISON, POISON]


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_against_its_own_types_an_object_stays_as_it_is() -> None:
    local = compiled(SOURCES / "accesses.c", "-mcpu=v3")
    alike(local, local)


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_types_match_and_exist_where_libbpf_says_so() -> None:
    alike(compiled(SOURCES / "matches.c"), compiled(SOURCES / "matches_target.c"))


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5, 6, 7, 8, 12, 13])
def test_structs_changed_at_random_are_read_as_libbpf_reads_them(seed: int) -> None:
    texts = pair(seed)
    local = compiled(texts.local, f"-mcpu=v{seed % 4 + 1}", "-w")
    alike(local, compiled(texts.target, "-w"))


KERNEL = """
#include "core.h"
struct list_head { struct list_head *prev; } CORE;
struct mm_struct { unsigned long total_vm; } CORE;
struct task_struct { struct mm_struct *mm; int tgid; int pid; struct task_struct *real_parent;
                     char comm[16]; unsigned int in_execve : 1; int not_in_any_kernel; } CORE;
struct task_struct___older { long state; } CORE;
struct sk_buff { unsigned int len; unsigned char ip_summed : 2; void *head; } CORE;
enum bpf_map_type { BPF_MAP_TYPE_HASH = 77, BPF_MAP_TYPE_NONE };
struct no_such_struct { int x; } CORE;
PROGRAM(kernel)
{
    struct task_struct *task = context;
    struct sk_buff *skb = context;
    long sum = task->pid + task->tgid + BPF_CORE_READ(task, real_parent, mm, total_vm);
    if (bpf_core_field_exists(task->not_in_any_kernel))
        sum += task->not_in_any_kernel;
    struct task_struct___older *older = context;
    if (bpf_core_field_exists(older->state))
        sum += older->state;
    return sum + BPF_CORE_READ_BITFIELD(task, in_execve) + BPF_CORE_READ_BITFIELD(skb, ip_summed) +
           skb->len + (long)skb->head + bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_HASH) +
           bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_NONE) * 4 +
           bpf_core_type_exists(struct no_such_struct) + bpf_core_type_size(struct task_struct) +
           bpf_core_type_id_kernel(struct task_struct) + bpf_core_type_matches(struct mm_struct);
}
"""


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_the_running_kernels_types_answer_as_libbpf_has_them_answer() -> None:
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF")
    local = compiled(KERNEL)
    found = resolved(local, BtfIndex.of(VMLINUX))["kernel"]
    assert {"kernel": code_of(found)} == by_libbpf(local, None)
    first = next(iter(found.poisons.values()))
    assert first == "in the kernel, struct task_struct has no member 'not_in_any_kernel'"


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_flavours_of_a_target_must_agree_and_libbpf_refuses_where_they_do_not() -> None:
    local = compiled(_about("same"))
    moved = compiled(_about("moved"))
    only = compiled(_about("only"))
    target = compiled("""
        struct thing { int first; int same; int moved; } *a;
        struct thing___2 { int moved; int same; } *b;
        struct thing___3 { int other; } *c;
        struct thing___4 { int only; } *d;
        long keep_long;
    """)
    alike(local, target)
    alike(only, target)
    theirs = by_libbpf(moved, target)
    assert isinstance(theirs, str)
    assert "field offset ambiguity" in theirs
    with pytest.raises(LinkError) as refused:
        resolved(moved, btf_of(target))
    assert refused.value.diagnostics[0].code == "core-ambiguous"
    assert "the offset of struct thing.moved is not certain" in str(refused.value)


def _about(field: str) -> str:
    return f"""
        #include "core.h"
        struct thing {{ int same; int moved; int only; }} CORE;
        PROGRAM(asks) {{ struct thing *thing = context; return thing->{field}; }}
    """


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_one_choice_holds_for_a_whole_object() -> None:
    # `b` is in one of the two only, so `a` is that one's from then on; alone it were uncertain.
    local = compiled("""
        #include "core.h"
        struct thing { int a; int b; } CORE;
        PROGRAM(first) { struct thing *thing = context; return thing->b; }
        PROGRAM(second) { struct thing *thing = context; return thing->a; }
    """)
    target = compiled("""
        struct thing { long before; int a; } *x;
        struct thing___2 { int a; long between; int b; } *y;
        long keep_long;
    """)
    alike(local, target)


@pytest.mark.tool("clang")
def test_a_big_endian_target_shifts_bit_fields_its_own_way() -> None:
    text = """
        #include "core.h"
        struct bits { int a : 3; unsigned b : 9; int c; short d; } CORE;
        PROGRAM(asks) { struct bits *s = context; return ALL_INFO(s->a) + ALL_INFO(s->b) +
                        ALL_INFO(s->c) + ALL_INFO(s->d); }
    """
    big = compiled(text, "--target=bpfeb")
    types = btf_of(big)
    assert types.byteorder == "big"
    root = types.find(Struct, "bits")[0]
    resolver = Resolver(types, types)
    shifts = [
        resolver.resolve(root, f"0:{member}", kind).value
        for member in range(4)
        for kind in (CoreKind.FIELD_BYTE_OFFSET, CoreKind.FIELD_LSHIFT_U64)
    ]
    # a is the upper 3 bits of the first word, b the 9 below them
    assert [each.number for each in shifts if each] == [0, 32, 0, 35, 4, 32, 8, 48]


U32 = Int("unsigned int", 4, 32)
LOCAL: tuple[BtfType, ...] = (
    U32,
    Struct("thing", 8, (Member("a", 1, 0), Member("b", 1, 32))),
    Enum("choice", 4, (Enumerator("YES", 1),)),
    Array(1, 1, 2),
    Struct("", 4, (Member("a", 1, 0),)),
    Typedef("round", 6),
    Struct("rounds", 4, (Member("r", 6, 0),)),
    Float("float", 4),
    Struct("holder", 8, (Member("list", 4, 0),)),
)


def resolver(*target: BtfType, local: tuple[BtfType, ...] = LOCAL) -> Resolver:
    return Resolver(Btf(local), BtfIndex.of(Btf(target)))


@pytest.mark.parametrize(
    ("type_id", "access", "kind", "message"),
    [
        (2, "0:1", 13, "there is no CO-RE relocation of kind 13"),
        (0, "0", 8, "a CO-RE relocation is about void"),
        (99, "0", 8, "there is no type 99"),
        (2, "", 0, "'' is no access path such as 0:1:2"),
        (2, ":1", 0, "':1' is no access path"),
        (2, "0:-1", 0, "'0:-1' is no access path"),
        (2, "0:²", 0, "is no access path"),
        (2, "0:99999999999", 0, "is no access path"),
        (2, "0:2", 0, "struct thing has 2 members and no number 2"),
        (2, "0:1:0", 0, "leads into unsigned int, which has no members"),
        (2, ":".join(["0"] * 65), 0, "an access path of 65 steps is too long: 64 are allowed"),
        (9, "0:0:2", 0, "an array of 2 elements has no number 2"),
        (2, "0:1", 8, "a relocation about a type has the access path '0:1', not 0"),
        (3, "1", 11, "enum choice has no enumerator 1"),
        (3, "0:0", 11, "enum choice has no enumerator 0:0"),
        (2, "0", 10, "struct thing has no enumerator 0"),
        (5, "0:0", 0, "type 5 has no name to be looked up by"),
        (6, "0", 9, "leads in a circle"),
        (7, "0:0", 0, "leads in a circle"),
        (9, "0:0:1", 3, "FIELD_SIGNED cannot be asked of an array's element"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(
    type_id: int, access: str, kind: int, message: str
) -> None:
    with pytest.raises(BtfError) as refused:
        resolver(*LOCAL).resolve(type_id, access, kind)
    assert message in refused.value.diagnostics[0].message


def test_what_is_missing_is_said_in_the_targets_words() -> None:
    moved = Struct("thing", 4, (Member("a", 4, 0),))
    target = (U32, Struct("more", 4, ()), moved, Struct("other", 0, ()), Union("union_now", 4, ()))
    found = resolver(*target)
    assert found.resolve(2, "0:1", 0).missing == ("in the kernel, struct thing has no member 'b'")
    assert found.resolve(2, "0:0", 0).missing == (
        "in the kernel, struct thing.a is struct other, and the program takes it for unsigned int"
    )
    assert found.resolve(3, "0", 11).missing == "the kernel has no enum choice"
    assert found.resolve(9, "0:0", 2).value is not None
    named = Resolver(Btf(LOCAL), BtfIndex.of(Btf(target)), where="the BTF that is given")
    assert named.resolve(3, "0", 11).missing == "the BTF that is given has no enum choice"


def test_modules_are_asked_where_the_kernel_itself_has_no_such_type() -> None:
    kernel = BtfIndex.of(Btf((U32, Struct("thing", 8, (Member("b", 1, 0),)))))
    own = Btf((Enum("choice", 4, (Enumerator("YES", 5),)), Struct("thing", 8, ())), kernel)
    asked: list[str] = []

    def modules() -> list[BtfIndex]:
        asked.append("modules")
        return [BtfIndex(codec.encode(own), kernel)]

    found = Resolver(Btf(LOCAL), kernel, modules)
    value = found.resolve(2, "0:1", CoreKind.FIELD_BYTE_OFFSET).value
    assert (value and value.number, asked) == (0, [])
    value = found.resolve(3, "0", CoreKind.ENUMVAL_VALUE).value
    assert (value and value.number, asked) == (5, ["modules"])
    value = found.resolve(3, "0", CoreKind.TYPE_ID_TARGET).value
    assert (value and value.number, asked) == (3, ["modules"])


def test_an_enumeration_may_have_grown_to_64_bits() -> None:
    found = resolver(Enum64("choice", 8, (Enumerator("YES", 1 << 40),)))
    value = found.resolve(3, "0", CoreKind.ENUMVAL_VALUE).value
    assert value
    assert value.number == 1 << 40


def test_large_unsigned_enumerators_stay_unsigned_where_the_compiler_has_them_so() -> None:
    # libbpf takes 0xffffffff for -1 and refuses what clang makes of it.
    local = (Enum("choice", 4, (Enumerator("TOP", 0xFFFF_FFFF),)),)
    target = Enum("choice", 4, (Enumerator("LOW", 1), Enumerator("TOP", 0xFFFF_FFFE)))
    ref = CoreRef(1, "0", CoreKind.ENUMVAL_VALUE)
    for held, patched in ((0xFFFF_FFFF, 0xFFFF_FFFE), (-1, -2)):
        constant = instruction("lddw", dst=1, imm=held, ref=ref)
        found = resolve_core(program(constant), resolver(target, local=local))
        assert found.program.instructions == (instruction("lddw", dst=1, imm=patched),)


def program(*items: Instruction) -> ProgramSpec:
    return ProgramSpec("asks", "xdp", "xdp", items)


def wrong(each: Instruction, *target: BtfType) -> str:
    with pytest.raises(LinkError) as refused:
        resolve_core(program(each), resolver(*target))
    assert refused.value.diagnostics[0].code == "core-record"
    return refused.value.diagnostics[0].message


def test_an_instruction_that_does_not_hold_what_the_compiler_saw_is_refused() -> None:
    ref = CoreRef(2, "0:1", CoreKind.FIELD_BYTE_OFFSET)
    load = instruction("ldxw", dst=1, src=2, off=6, ref=ref)
    said = "program 'asks': the instruction holds 6, and the offset of struct thing.b was 4"
    assert wrong(load, *LOCAL) == said
    assert "exit has no place for the offset" in wrong(instruction("exit", ref=ref), *LOCAL)
    far = Struct("thing", 1 << 20, (Member("b", 1, 8 << 15),))
    load = instruction("ldxw", dst=1, src=2, off=4, ref=ref)
    assert "32768, does not fit: 32767 is the most" in wrong(load, U32, far)
    wide = Enum64("choice", 8, (Enumerator("YES", 1 << 40),))
    value = CoreRef(3, "0", CoreKind.ENUMVAL_VALUE)
    move = instruction("mov64_imm", dst=1, imm=1, ref=value)
    assert "1099511627776, does not fit 32 bits" in wrong(move, wide)


def test_a_load_takes_the_size_that_the_member_has_or_is_poisoned() -> None:
    ref = CoreRef(2, "0:1", CoreKind.FIELD_BYTE_OFFSET)
    load = instruction("ldxw", dst=1, src=2, off=4, ref=ref)
    wide = Int("unsigned long", 8, 64)
    found = resolve_core(program(load), resolver(wide, Struct("thing", 8, (Member("b", 1, 0),))))
    assert found.program.instructions == (instruction("ldxdw", dst=1, src=2),)
    assert found.poisons == {}
    signed = Int("long", 8, 64, IntEncoding.SIGNED)
    found = resolve_core(program(load), resolver(signed, Struct("thing", 8, (Member("b", 1, 0),))))
    assert found.program.instructions == (instruction("call_helper", imm=POISON),)
    assert list(found.poisons) == [("asks", 0)]
    assert "has 8 bytes and the program takes it for 4" in found.poisons["asks", 0]
    byte = instruction("ldxb", dst=1, src=2, off=4, ref=ref)
    message = wrong(byte, wide, Struct("thing", 8, (Member("b", 1, 0),)))
    assert "accesses 1 bytes of a member that has 4, and 8 in the target" in message


def test_a_poisoned_wide_constant_becomes_two_calls() -> None:
    ref = CoreRef(3, "0", CoreKind.ENUMVAL_VALUE)
    constant = instruction("lddw", dst=1, imm=1, ref=ref)
    found = resolve_core(program(constant, instruction("exit")), resolver(U32))
    call = instruction("call_helper", imm=POISON)
    assert found.program.instructions == (call, call, instruction("exit"))
    assert set(found.poisons) == {("asks", 0), ("asks", 1)}


def test_a_32_bit_kernels_pointers_are_loaded_with_32_bits() -> None:
    local = (U32, Ptr(1), Struct("thing", 8, (Member("p", 2, 0),)))
    target = (Int("long", 4, 32, IntEncoding.SIGNED), U32, Ptr(2),
              Struct("thing", 8, (Member("a", 2, 0), Member("p", 3, 32))))  # fmt: skip
    found = Resolver(Btf(local), BtfIndex.of(Btf(target)))
    load = instruction("ldxdw", dst=1, src=2, ref=CoreRef(3, "0:0", 0))
    made = resolve_core(program(load), found).program.instructions
    assert made == (instruction("ldxw", dst=1, src=2, off=4),)


def test_every_wrong_relocation_is_told_at_once() -> None:
    bad = [instruction("ldxw", dst=1, src=2, ref=CoreRef(2, each, 0)) for each in ("0:7", "0:8")]
    with pytest.raises(LinkError) as refused:
        resolve_core(program(*bad), resolver(*LOCAL))
    assert [each.message for each in refused.value.diagnostics] == [
        f"program 'asks': struct thing has 2 members and no number {each}" for each in (7, 8)
    ]


@given(tables(), tables(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_record_about_any_types_is_answered_or_refused(
    local: Btf, target: Btf, data: st.DataObject
) -> None:
    found = Resolver(local, BtfIndex.of(Btf((*target.types, *_copies(local, target)))))
    for _ in range(8):
        type_id = data.draw(st.integers(0, len(local) + 1))
        access = ":".join(map(str, data.draw(st.lists(st.integers(0, 3), max_size=4))))
        with suppress(BtfError):
            found.resolve(type_id, access, data.draw(st.integers(0, 13)))


def _copies(local: Btf, target: Btf) -> list[BtfType]:
    """The program's own types behind the target's, so that there is something to be found."""
    ids = [0, *range(len(target) + 1, len(target) + len(local) + 1)]
    return [renumbered(each, ids.__getitem__) for each in local.types]
