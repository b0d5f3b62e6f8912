"""Programs as the kernel rewrote them: what no program may contain has a text too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.asm.writing.translated import Translated, functions, print_translated
from ebpfasm.errors import LineSpan
from ebpfasm.ir import MapSpec
from ebpfasm.ir.specs import VarSpec

MAP = MapSpec("counts", "hash", 4, 8, 2)
DATA = MapSpec("prog.data", "array", 4, 16, 1)


def texts(code: str, dialect: Dialect = "llvm", **known: Any) -> list[str]:
    """The instructions of little-endian code, with their comments."""
    program = Translated("f", bytes.fromhex(code), byteorder="little", **known)
    rows = [row for _, found in functions(program, dialect) for row in found]
    return [f"{row.text}  # {row.comment}" if row.comment else row.text for row in rows]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("bc11000001000000", "w1 = w1  # zero-extension that the verifier put in"),
        ("bf10ffff00000000", ".8byte 0x00000000ffff10bf  # r0 = &(void __percpu *)(r1)"),
        ("7912080000000000", "r2 = *(u64 *)(r1 + 0x8)"),
        ("3912080000000000", "r2 = *(u64 *)(r1 + 0x8)  # BPF_PROBE_MEM: reads 0 where it faults"),
        ("4112080000000000", "r2 = *(s32 *)(r1 + 0x8)  # BPF_PROBE_MEMSX: reads 0 where it faults"),
        ("b912080000000000", "r2 = *(u64 *)(r1 + 0x8)  # BPF_PROBE_MEM32: in the arena"),
        ("c112080000000000", "r2 = *(s32 *)(r1 + 0x8)  # BPF_PROBE_MEM32SX: in the arena"),
        ("a201080007000000", "*(u32 *)(r1 + 0x8) = 0x7  # BPF_PROBE_MEM32: in the arena"),
        ("bb21080000000000", "*(u64 *)(r1 + 0x8) = r2  # BPF_PROBE_MEM32: in the arena"),
        (
            "fb21080000000000",
            "lock *(u64 *)(r1 + 0x8) += r2  # BPF_PROBE_ATOMIC: in the arena",
        ),
        ("c200000000000000", ".8byte 0x00000000000000c2  # BPF_NOSPEC: holds speculation back"),
        ("bf1b000000000000", "r11 = r1  # r11 is the kernel's own register"),
        ("ff00000000000000", ".8byte 0x00000000000000ff  # no instruction that is known"),
        ("1800000000000000", ".8byte 0x0000000000000018  # half a 64-bit immediate"),
        ("850000000c000000", "call bpf_tail_call"),
        (
            "8500000000000000",
            "call 0x0  # the kernel hides which function: "
            "see kernel.kptr_restrict and net.core.bpf_jit_harden",
        ),
        (
            "8500000000000500",
            "call 0x50000  # no symbol at this distance from __bpf_call_base",
        ),
        ("8520000007000000", "call btf_id(0x7, 0x0)"),
        (
            "8520000000000000",
            "call btf_id(0x0, 0x0)  # the kernel hides which function: "
            "see kernel.kptr_restrict and net.core.bpf_jit_harden",
        ),
    ],
)
def test_what_only_the_kernel_writes_has_a_text(code: str, text: str) -> None:
    assert texts(code) == [text]


def test_names_that_the_kernel_knows_stand_for_numbers() -> None:
    assert texts("8500000000000500", symbols={0x50000: "array_map_lookup"}) == [
        "call array_map_lookup"
    ]
    assert texts("8520000007000000", kfuncs={7: "bpf_task_release"}) == ["call bpf_task_release"]
    assert texts(
        "1831000001000000 0000000080ffffff", addresses={0xFFFFFF8000000001: "jiffies"}
    ) == ["r1 = jiffies ll"]


def test_maps_and_variables_are_called_by_name() -> None:
    known: dict[str, Any] = {
        "maps": {5: MAP, 6: DATA},
        "variables": (VarSpec("hits", "prog.data", 8, 8),),
    }
    code = """
    1811000005000000 0000000000000000
    1821000006000000 0000000004000000
    1821000006000000 0000000008000000
    1821000006000000 000000000c000000
    1811000007000000 0000000000000000
    """
    assert texts(code, **known) == [
        "r1 = counts ll",
        "r1 = prog.data+4 ll  # in the value of map prog.data",
        "r1 = hits ll  # in the value of map prog.data",
        "r1 = hits+4 ll  # in the value of map prog.data",
        "ld_pseudo r1, 1, 0x7  # map 7",
    ]


def test_a_whole_program_has_functions_labels_and_lines() -> None:
    code = """
    1501010000000000 8510020001000000 0500feff00000000 9500000000000000 9500000000000000
    """
    program = Translated(
        "main",
        bytes.fromhex(code),
        functions={0: "first", 4: "second"},
        lines={0: LineSpan("x.c", 3, 1, "\tif (a)"), 4: LineSpan("x.c", 9, 1, "}")},
        maps={5: MAP},
        byteorder="little",
    )
    assert (
        print_translated(program, head="program 7", source=True)
        == """# program 7
.map counts, hash, key_size=4, value_size=8, max_entries=2
.globl first
first:
    # x.c:3: if (a)
    if r1 == 0x0 goto L2
L1:
    call second
L2:
    goto L1
    exit
.globl second
second:
    # x.c:9: }
    exit
"""
    )


def test_without_btf_functions_are_found_by_their_calls() -> None:
    code = "8510010000000000 9500000000000000 9500000000000000"
    program = Translated("main", bytes.fromhex(code), byteorder="little")
    assert [name for name, _ in functions(program)] == ["main", "func_2"]
    assert texts(code)[0] == "call func_2"
    assert texts(code, "mnemonic")[0] == "call local func_2"


def test_a_distance_that_was_cut_off_is_found_by_the_subprogram_s_number() -> None:
    code = "8510ff7f01000000 9500000000000000 9500000000000000"
    assert texts(code, functions={0: "a", 2: "b"})[0] == "call b"


@given(st.binary(max_size=400), st.sampled_from(["llvm", "mnemonic"]))
def test_no_bytes_are_refused(code: bytes, dialect: Dialect) -> None:
    program = Translated("f", code)
    rows = [row for _, found in functions(program, dialect) for row in found]
    assert b"".join(row.code for row in rows) == code[: len(code) // 8 * 8]
    print_translated(program, dialect, source=True)
