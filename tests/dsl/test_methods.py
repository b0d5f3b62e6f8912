"""Every row of the table has its method, every method its row, and LLVM agrees on the bytes."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from ebpfasm.dsl import R0, R1, R2, R7, R10, Builder, Code
from ebpfasm.dsl.alu import Arithmetic
from ebpfasm.dsl.atomics import Atomics
from ebpfasm.dsl.jumps import Jumps
from ebpfasm.dsl.memory import Memory
from ebpfasm.ir import Instruction, instruction, instructions_of
from ebpfasm.isa import codec
from ebpfasm.isa.table import BY_NAME, TABLE
from tests.support import find_tool

SAMPLES: dict[str, tuple[object, ...]] = {
    "dst": (R1,),
    "src": (R2,),
    "base": (R10,),
    "operand": (R2, 5),
    "off": (-8,),
    "imm": (7,),
    "target": ("there", 3),
    "helper": ("bpf_map_lookup_elem", 1),
    "function": ("f", 3),
    "map": ("m",),
    "index": (2,),
    "symbol": ("jiffies", 9),
    "dst_as": (0,),
    "src_as": (1,),
}
# Rows of Linux's BPF_PSEUDO_* and calls, whose methods have shorter names.
OTHER_NAMES = {"lddw_map": "lddw_map_fd", "call": "call_helper"}


def methods() -> list[str]:
    rooms = (Arithmetic, Jumps, Memory, Atomics)
    return [name for room in rooms for name in vars(room) if not name.startswith("_")]


def program() -> Code:
    return Builder().program("p", type="xdp")


def samples(name: str) -> Iterator[tuple[object, ...]]:
    parameters = list(inspect.signature(getattr(Code, name)).parameters.values())[1:]
    positional = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    choices = [(8,) if name.startswith("lddw") and each == "off" else SAMPLES[each]
               for each in positional]  # fmt: skip
    return itertools.product(*choices)


def made_by(name: str) -> list[Instruction]:
    p = program()
    for arguments in samples(name):
        getattr(p, name)(*arguments)
    return list(instructions_of(p.items))


def rows_named_after(method: str) -> set[str]:
    """The rows that a method's name promises: or_ -> or64_imm and or64_reg, neg -> neg64."""
    row = OTHER_NAMES.get(method, method.rstrip("_"))
    wide = re.sub(r"^(movsx\d+)$", r"\1_64", row)
    for base in (wide, f"{wide}64"):
        found = {base, f"{base}_imm", f"{base}_reg"} & set(BY_NAME)
        if found:
            return found
    return set()


def test_every_row_is_made_by_exactly_one_method() -> None:
    makers: dict[str, set[str]] = {spec.name: set() for spec in TABLE}
    for name in methods():
        for made in made_by(name):
            makers[made.spec.name].add(name)
    assert {row: found for row, found in makers.items() if len(found) != 1} == {}


def test_every_method_makes_the_rows_that_it_is_named_after() -> None:
    made = {name: {each.spec.name for each in made_by(name)} for name in methods()}
    assert made == {name: rows_named_after(name) for name in methods()}


def test_every_method_of_code_that_is_no_instruction_is_known() -> None:
    public = {name for name in dir(Code) if not name.startswith("_")}
    others = {"emit", "items", "jump_table", "kind", "label", "name", "span", "tables"}
    assert public - set(methods()) == others


def test_operands_land_in_the_fields_that_the_row_gives_them() -> None:
    sample = {"dst": {1, 10}, "src": {2, 10}}
    for name in methods():
        for each in made_by(name):
            assert not list(codec.check(*each.fields)), name
            for field, expected in sample.items():
                operand = each.spec.form.operand(field)
                if operand is not None:
                    base = operand.kind == "base"
                    assert getattr(each, field) in expected & ({10} if base else {1, 2}), name


Row = tuple[str, str, tuple[object, ...]]

# LLVM's text for calls of every method that its assembler has words for.
ALU = {"add": "+=", "sub": "-=", "mul": "*=", "div": "/=", "or_": "|=", "and_": "&=", "lsh": "<<=",
       "rsh": ">>=", "mod": "%=", "xor": "^=", "mov": "=", "arsh": "s>>=", "sdiv": "s/=",
       "smod": "s%="}  # fmt: skip
JUMPS = {"jeq": "==", "jgt": ">", "jge": ">=", "jset": "&", "jne": "!=", "jsgt": "s>",
         "jsge": "s>=", "jlt": "<", "jle": "<=", "jslt": "s<", "jsle": "s<="}  # fmt: skip
SIZES = {"b": 8, "h": 16, "w": 32, "dw": 64}
ATOMICS = {"add": "+=", "or": "|=", "and": "&=", "xor": "^="}


def arithmetic() -> Iterator[Row]:
    for name, sign in ALU.items():
        narrow = f"{name.rstrip('_')}32"
        yield f"r1 {sign} r2", name, (R1, R2)
        yield f"r1 {sign} -5", name, (R1, -5)
        yield f"w1 {sign} w2", narrow, (R1, R2)
        yield f"w1 {sign} 7", narrow, (R1, 7)
    yield "r1 = -r1", "neg", (R1,)
    yield "w1 = -w1", "neg32", (R1,)
    yield "r1 = (s8)r2", "movsx8", (R1, R2)
    yield "r1 = (s16)r2", "movsx16", (R1, R2)
    yield "r1 = (s32)r2", "movsx32", (R1, R2)
    yield "w1 = (s8)w2", "movsx8_32", (R1, R2)
    yield "w1 = (s16)w2", "movsx16_32", (R1, R2)
    for name in (f"{word}{width}" for word in ("le", "be", "bswap") for width in (16, 32, 64)):
        yield f"r1 = {name} r1", name, (R1,)
    yield "r1 = addr_space_cast(r2, 0, 1)", "addr_space_cast", (R1, R2, 0, 1)


def jumps() -> Iterator[Row]:
    for name, sign in JUMPS.items():
        narrow = f"{name}32"
        yield f"if r1 {sign} r2 goto -3", name, (R1, R2, -3)
        yield f"if r1 {sign} -5 goto +4", name, (R1, -5, 4)
        yield f"if w1 {sign} w2 goto -3", narrow, (R1, R2, -3)
        yield f"if w1 {sign} 7 goto +4", narrow, (R1, 7, 4)
    yield "goto +9", "ja", (9,)
    yield "gotol +9", "gotol", (9,)
    yield "may_goto +3", "may_goto", (3,)
    yield "call 1", "call", ("bpf_map_lookup_elem",)
    yield "call 5", "call", (5,)
    yield "callx r7", "callx", (R7,)
    yield "exit", "exit", ()


def memory() -> Iterator[Row]:
    for size, width in SIZES.items():
        value = "r2" if width == 64 else "w2"
        place = f"*(u{width} *)(r10 - 8)"
        yield f"{value} = {place}", f"ldx{size}", (R2, R10, -8)
        yield f"{place} = {value}", f"stx{size}", (R10, -8, R2)
        yield f"{place} = 7", f"st{size}", (R10, -8, 7)
        if width < 64:
            signed = f"r2 = *(s{width} *)(r10 - 8)"
            yield signed, f"ldxs{size}", (R2, R10, -8)
            packet = f"r0 = *(u{width} *)skb"
            yield f"{packet}[26]", f"ldabs{size}", (26,)
            yield f"{packet}[r7]", f"ldind{size}", (R7, 0)
    yield "r1 = 0x123456789abcdef ll", "lddw", (R1, 0x123456789ABCDEF)
    yield "r1 = -1 ll", "lddw", (R1, 0xFFFFFFFFFFFFFFFF)
    yield "ld_pseudo r1, 1, 0", "lddw_map", (R1, "m")
    yield "ld_pseudo r1, 2, 0", "lddw_map_value", (R1, "m", 8)
    yield "ld_pseudo r1, 3, 9", "lddw_btf_id", (R1, 9)
    yield "ld_pseudo r1, 4, 12", "lddw_func", (R1, 12)
    yield "ld_pseudo r1, 5, 7", "lddw_map_idx", (R1, 7)
    yield "ld_pseudo r1, 6, 7", "lddw_map_idx_value", (R1, 7)


def atomics() -> Iterator[Row]:
    for width, r2, r0 in ((64, "r2", "r0"), (32, "w2", "w0")):
        place = f"*(u{width} *)(r1 - 8)"
        for op, sign in ATOMICS.items():
            plain, fetch = f"atomic_{op}{width}", f"atomic_fetch_{op}{width}"
            yield f"lock {place} {sign} {r2}", plain, (R1, -8, R2)
            text = f"{r2} = atomic_fetch_{op}((u{width} *)(r1 - 8), {r2})"
            yield text, fetch, (R1, -8, R2)
        tail = "_64" if width == 64 else "32_32"
        xchg, cmpxchg = f"xchg{width}", f"cmpxchg{width}"
        yield f"{r2} = xchg{tail}(r1 - 8, {r2})", xchg, (R1, -8, R2)
        text = f"{r0} = cmpxchg{tail}(r1 - 8, {r0}, {r2})"
        yield text, cmpxchg, (R1, -8, R2)


def llvm_bytes(lines: list[str]) -> list[str]:
    command = [find_tool("llvm-mc"), "-triple", "bpfel", "-mcpu=v4", "--show-encoding"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.findall(r"encoding: \[([^\]]*)\]", done.stdout)


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("section", [arithmetic, jumps, memory, atomics])
def test_methods_give_the_bytes_of_llvm(section: Callable[[], Iterator[Row]]) -> None:
    ours, texts = [], []
    for text, method, arguments in section():
        p = program()
        getattr(p, method)(*arguments)
        (made,) = instructions_of(p.items)
        code = codec.encode(made.spec, made.dst, made.src, made.off, made.imm)
        ours.append(f"{text}  {','.join(f'0x{byte:02x}' for byte in code)}")
        texts.append(text)
    theirs = [f"{text}  {code}" for text, code in zip(texts, llvm_bytes(texts), strict=True)]
    assert ours == theirs


def test_what_llvm_cannot_write_with_numbers_has_the_fields_of_its_row() -> None:
    p = program()
    p.call_local(-4)
    p.call_kfunc(1234, 2)
    p.gotol(100000)
    p.lddw_map_idx_value(R1, 7, 0x80000000)
    p.gotox(R1)
    for width in (8, 16, 32, 64):
        getattr(p, f"load_acquire{width}")(R0, R1, -8)
        getattr(p, f"store_release{width}")(R1, -8, R0)
    assert list(instructions_of(p.items)) == [
        instruction("call_local", imm=-4),
        instruction("call_kfunc", off=2, imm=1234),
        instruction("gotol", imm=100000),
        instruction("lddw_map_idx_value", dst=1, imm=7 - (1 << 63)),
        instruction("gotox", dst=1),
        *(
            instruction(f"{name}{width}", *registers, off=-8)
            for width in (8, 16, 32, 64)
            for name, registers in (("load_acquire", (0, 1)), ("store_release", (1, 0)))
        ),
    ]


def test_llvm_or_the_list_above_judges_every_method() -> None:
    judged = {name for section in (arithmetic, jumps, memory, atomics) for _, name, _ in section()}
    by_fields = {"call_local", "call_kfunc", "gotox"}
    ordered = {
        f"{name}{bits}" for name in ("load_acquire", "store_release") for bits in (8, 16, 32, 64)
    }
    assert judged | by_fields | ordered == set(methods())
