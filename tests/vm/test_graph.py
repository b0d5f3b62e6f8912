"""Objects, lists and trees that programs make: both engines against this machine's kernel."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from tempfile import TemporaryDirectory

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Interpreter, graph
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.kfuncs import KFUNCS, call_kfunc
from ebpfasm.analysis.vm.tree import Node, Tree
from ebpfasm.btf.types import Struct
from ebpfasm.errors import LoadError, VmError
from ebpfasm.ir import Instruction, KfuncRef
from ebpfasm.isa.table import BY_NAME
from ebpfasm.runtime.running.anywhere import open_anywhere
from tests.support import DATA, excuse, find_tool, need_native

# In this order, over and over: each sees what the ones before left.
ROUND = (
    "queues", "drained", "swapped", "shared", "planted", *["shape"] * 6, "picked", "shape",
    "picked", "shape", *["least"] * 3, "queues", "shape", *["picked"] * 5, "shape", "swapped",
)  # fmt: skip


@cache
def spec() -> ebpfasm.CollectionSpec:
    kinds = {"little": "bpfel", "big": "bpfeb"}
    with TemporaryDirectory() as folder:
        out = f"{folder}/graph.o"
        command = [find_tool("clang"), "-O2", "-g", "-target", kinds[sys.byteorder], "-mcpu=v3"]
        command += ["-I/usr/include/x86_64-linux-gnu", "-c", str(DATA / "vm" / "graph.c")]
        subprocess.run([*command, "-o", out], check=True, capture_output=True)
        return ebpfasm.open(out)


def results(engine: str) -> list[tuple[str, int]]:
    found = []
    with open_anywhere(spec(), engine) as opened:
        found += [(name, opened.run(name, bytes(64)).retval) for name in ROUND * 4]
    return found


@pytest.mark.kernel
@pytest.mark.tool("clang")
def test_the_kernel_and_both_engines_make_the_same_of_it() -> None:
    need_native()
    try:
        kernel = results("kernel")
    except LoadError as refusal:
        excuse(refusal, "6.16")  # bpf_rbtree_root
    assert results("vm") == kernel
    assert results("reference") == kernel
    assert len({value for _, value in kernel}) > 40
    assert not {value for name, value in kernel} & {2**32 - 1, 2**32 - 2}


@pytest.mark.tool("clang")
def test_both_engines_count_alike() -> None:
    need_native()
    counts = []
    for engine in ("vm", "reference"):
        with open_anywhere(spec(), engine) as opened:
            counts.append([opened.run(name, bytes(64)).instructions for name in ROUND])
    assert counts[0] == counts[1]


FAULTS = {
    "lost": ("r0 = 0", "exits with struct item not given away"),
    "dropped twice": (
        "r1 = r6; r2 = 0; call bpf_obj_drop_impl; r1 = r6; r2 = 0; call bpf_obj_drop_impl",
        "which is no object that bpf_obj_new made",
    ),
    "read when it is gone": (
        "r1 = r6; r2 = 0; call bpf_obj_drop_impl; r1 = *(u64 *)(r6 + 24)",
        "that memory is gone",
    ),
    "run over": ("r1 = *(u64 *)(r6 + 80)", "it has 72 bytes"),
    "without a lock": (
        "r1 = r10; r1 += -16; r2 = r6; r3 = 0; r4 = 0; call bpf_list_push_back_impl",
        "while no lock is held",
    ),
    "dropped from inside": ("r1 = r10; r2 = 0; call bpf_obj_drop_impl", "which is no object"),
}


@pytest.mark.tool("clang")
@pytest.mark.parametrize("case", FAULTS)
def test_what_the_kernel_would_refuse_is_stopped(case: str) -> None:
    need_native()
    code, words = FAULTS[case]
    text = f"""
.license "GPL"
.section tc
main:
    r1 = TYPE
    r2 = 0
    call bpf_obj_new_impl
    r6 = r0
    {code.replace("; ", chr(10))}
    r0 = 0
    exit
"""
    types = spec().programs["planted"].debug
    assert types is not None
    (number,) = types.object.btf.find(Struct, "item")
    written = text.replace("TYPE", str(number))
    told = []
    for native in (True, False):
        program = replace(_with_kfuncs(written), debug=types)
        with pytest.raises(VmError) as caught:
            ebpfasm.virtual_machine(program, native=native).execute(bytes(64))
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert words in told[0]


def _with_kfuncs(text: str) -> ebpfasm.ProgramSpec:
    """A program whose calls of unknown helpers are calls of kernel functions."""
    names = [word for word in text.split() if word.startswith("bpf_") and word.endswith("_impl")]
    plain = text
    for name in names:
        plain = plain.replace(name, "bpf_get_numa_node_id", 1)
    program = ebpfasm.assemble(plain).programs["main"]
    waiting = iter(names)
    items = [
        Instruction(BY_NAME["call_kfunc"], ref=KfuncRef(next(waiting)), span=each.span)
        if isinstance(each, Instruction) and each.spec.name == "call_helper" else each
        for each in program.instructions
    ]  # fmt: skip
    return replace(program, instructions=tuple(items))


def _check(node: Node | None, parent: Node | None) -> int:
    """The black height of a subtree that obeys the rules."""
    if node is None:
        return 1
    assert node.parent is parent
    assert not (node.red and parent is not None and parent.red)
    left, right = _check(node.left, node), _check(node.right, node)
    assert left == right
    return left + (not node.red)


def _in_order(node: Node | None) -> list[int]:
    return [] if node is None else [*_in_order(node.left), node.item, *_in_order(node.right)]


def test_a_tree_stays_balanced_and_in_order() -> None:
    choose = random.Random(5)
    for _ in range(60):
        tree, there = Tree(), list[int]()
        for _ in range(120):
            if there and choose.random() < 0.45:
                item = choose.choice(there)
                there.remove(item)
                tree.remove(item)
            else:
                item = choose.getrandbits(40)
                there.append(item)
                tree.add(item, int.__lt__)
            _check(tree.root, None)
            assert _in_order(tree.root) == sorted(there)
            first = tree.first()
            assert (first.item if first else None) == (min(there) if there else None)


@pytest.mark.tool("clang")
def test_any_arguments_are_an_answer_or_a_fault() -> None:
    choose = random.Random(9)
    machine = ebpfasm.virtual_machine(spec().programs["planted"], native=False).machine
    names = [
        name for name, (function, _) in KFUNCS.items() if function.__module__ == graph.__name__
    ]
    assert len(names) == 21
    known = [machine.world.maps[name].lookup_elem(bytes(4)) for name in (".data.B", ".data")]
    known += [machine.frames[0].address + 400, machine.ctx.address, machine.code_region.element(0)]
    Interpreter(machine)
    for _ in range(3000):
        machine.lock = choose.choice((0, known[0]))
        places = (*known, 0, 1, 8, 16, 24, choose.getrandbits(64))
        arguments = [
            choose.choice(places) + choose.choice((0, 0, 8, 16, 32)) & (1 << 64) - 1
            for _ in range(5)
        ]
        try:
            answer = call_kfunc(machine, choose.choice(names), arguments)
        except Fault:
            continue
        if answer > 1 << 48:
            known.append(answer)
    assert len(known) > 20
