"""The project's own conformance vectors: tests/data/vm/conformance.txt, and the kernel's word."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from typing import NamedTuple

import pytest

import ebpfasm
from ebpfasm.cli import conformance
from ebpfasm.ir import Instruction
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import TABLE
from ebpfasm.runtime.running.once import run
from tests.needed import newest
from tests.support import DATA, kernel_release, need_native, release_of

MEMORY = bytes(range(0x81, 0x91))
pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the vectors are little endian")


class Vector(NamedTuple):
    """One line of the file."""

    group: str
    text: str
    r0: int


def _read() -> list[Vector]:
    lines = (DATA / "vm" / "conformance.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [Vector(group, text, int(r0, 16)) for group, text, r0 in rows]


VECTORS = _read()
GROUPS = sorted({each.group for each in VECTORS})

# r1 points to the packet's first 16 bytes: what the kernel lets a program have as memory.
_HEAD = (
    "r6 = r1; r1 = *(u32 *)(r6 + 0); r2 = *(u32 *)(r6 + 4); r3 = r1; r3 += 16\n"
    "if r3 > r2 goto short\n"
)


def source(vector: Vector, end: str = "", *, kernel: bool) -> str:
    """The vector as a program; `end` stands before its exit."""
    main, _, more = vector.text.partition("exit; ")
    main = main.replace("; ", "\n")
    body = f"{main}\n{end}exit\n"
    if kernel and vector.group != "packet":
        body = f"{_HEAD}{body}short: r0 = -77\nexit\n"
    section = "tc" if vector.group == "packet" else "xdp"
    return (
        f".section {section}\nmain:\n{body}{more.replace('; ', chr(10))}\n"
        f"{'exit' if more else ''}\n"
    )


def of_group(group: str) -> list[Vector]:
    return [each for each in VECTORS if each.group == group]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("group", GROUPS)
def test_every_vector_is_right(group: str, native: bool) -> None:
    if native:
        need_native()
    wrong = {}
    for each in of_group(group):
        spec = ebpfasm.assemble(source(each, kernel=False), name="v.s").programs["main"]
        if group == "packet":
            r0 = ebpfasm.virtual_machine(spec, native=native).execute(MEMORY)
        else:
            r0 = conformance.result(ebpfasm.encode(spec), MEMORY, native=native)
        if r0 != each.r0:
            wrong[each.text] = (hex(r0), hex(each.r0))
    assert wrong == {}


@pytest.mark.kernel
@pytest.mark.parametrize("group", GROUPS)
def test_the_kernel_gives_the_same(group: str) -> None:
    """A test run tells the low half of r0, so each is run twice."""
    wrong, tried = {}, 0
    for each in of_group(group):
        halves = []
        for end in ("", "r0 >>= 32\n"):
            spec = ebpfasm.assemble(source(each, end, kernel=True), name="v.s").programs["main"]
            if release_of(newest(spec)[0]) <= kernel_release():
                halves.append(run(spec, MEMORY, engine="kernel").retval)
        if not halves:
            continue
        tried += 1
        expected = list(struct.unpack("<II", struct.pack("<Q", each.r0)))
        if halves != expected:
            wrong[each.text] = [hex(half) for half in halves], hex(each.r0)
    assert wrong == {}
    assert tried or group == "linux"


def test_every_row_has_two_vectors() -> None:
    used: Counter[str] = Counter()
    for each in VECTORS:
        spec = ebpfasm.assemble(source(each, kernel=False)).programs["main"]
        streams = [spec.instructions, *(function.instructions for function in spec.functions)]
        used.update({
            item.spec.name for stream in streams for item in stream if isinstance(item, Instruction)
        })  # fmt: skip
    # What needs maps, kernel functions or tables has tests of its own; callx no kernel takes.
    elsewhere = {Form.LOAD_PSEUDO, Form.CALL_HELPER, Form.CALL_KFUNC, Form.CAST, Form.CALL_REG,
                 Form.JUMP_REG}  # fmt: skip
    few = {row.name: used[row.name] for row in TABLE if row.form not in elsewhere}
    assert {name: count for name, count in few.items() if count < 2} == {}
