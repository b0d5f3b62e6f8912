"""`gotox` through jump tables: both engines, and the kernel where it has it (Linux 6.19)."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.errors import LinkError, NotSupported, VmError
from ebpfasm.ir.link import link
from ebpfasm.runtime.info.map import is_frozen
from tests.features import unsupported
from tests.support import need_native
from tests.vm import jump_tables
from tests.vm.engines import both, outcome
from tests.vm.tally import MORE

ENGINES, IN_KERNEL = 60 * MORE, 20 * MORE

SWITCH = """
.section xdp
switch:
    r3 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = *(u32 *)(r1 + xdp_md.data)
    r3 -= r2
    r3 &= 3
    r3 <<= 3
    r2 = ways ll
    r2 += r3
    r2 = *(u64 *)(r2 + 0)
    .jumptable ways, zero, odd, two, odd
    gotox r2
zero:
    r0 = 10
    exit
odd:
    r0 = 20
    exit
two:
    r0 = 30
    exit
"""


def program(text: str) -> ebpfasm.ProgramSpec:
    (found,) = ebpfasm.assemble(text, name="table.s").programs.values()
    return found


def test_a_table_leads_where_it_says() -> None:
    need_native()
    results = [both(program(SWITCH), bytes(64 + each)).r0 for each in range(4)]
    assert results == [10, 20, 30, 20]


def test_both_engines_run_random_tables_alike() -> None:
    need_native()
    different, results = [], set()
    for seed in range(ENGINES):
        spec = program(jump_tables.text(seed))
        for data in jump_tables.packets(seed, 4):
            one = outcome(spec, data, native=False)
            if one != outcome(spec, data, native=True) or one.wrong:
                different.append(seed)
            results.add(one.r0)
    assert different == []
    assert len(results) > ENGINES  # they go different ways


def test_our_verifier_accepts_them() -> None:
    for seed in range(ENGINES):
        verdict = ebpfasm.verify(program(jump_tables.text(seed)), kernel="6.19")
        assert verdict.ok, (seed, verdict.diagnostics)


@pytest.mark.kernel
@pytest.mark.needs("gotox")
def test_the_kernel_goes_the_same_ways() -> None:
    different = []
    for seed in range(1_000_000, 1_000_000 + IN_KERNEL):
        spec = ebpfasm.assemble(jump_tables.text(seed))
        with ebpfasm.load(spec) as loaded:
            for data in jump_tables.packets(seed, 4):
                theirs = loaded.programs["main"].test_run(data)
                ours = outcome(spec.programs["main"], data, native=True)
                if (ours.r0 or 0) & 0xFFFFFFFF != theirs.retval or ours.packet != theirs.data_out:
                    different.append(seed)
    assert different == []


@pytest.mark.kernel
@pytest.mark.needs("gotox")
def test_each_program_has_a_table_of_its_own_that_is_frozen_and_follows_it() -> None:
    spec = ebpfasm.assemble(SWITCH + SWITCH.replace("switch:", ".globl other\nother:").replace(
        ".section xdp", "").replace("ways", "more").replace("r0 = 10", "r0 = 11"))  # fmt: skip
    assert list(spec.programs) == ["switch", "other"]
    with ebpfasm.load(spec) as loaded:
        assert loaded.programs["other"].test_run(bytes(64)).retval == 11
        assert dict(loaded.maps) == {}
        for name, table in (("switch", "ways"), ("other", "more")):
            (number,) = loaded.programs[name].info().map_ids
            with ebpfasm.Map.from_id(number) as live:
                assert (live.type, live.name, len(live)) == ("insn_array", table, 4)
                assert is_frozen(live.fd)
                linked = link(spec.programs[name])
                values = [live.lookup_bytes(bytes((each, 0, 0, 0))) or b"" for each in range(4)]
                first = tuple(int.from_bytes(each[:4], "little") for each in values)
                assert first == linked.tables[table]


@pytest.mark.kernel
def test_a_kernel_without_tables_says_since_when() -> None:
    if not unsupported("gotox"):
        pytest.skip("this kernel has them")
    with pytest.raises(NotSupported, match=r"map type insn_array .* \(Linux 6\.19 has it\)"):
        ebpfasm.load(ebpfasm.assemble(SWITCH))


GONE_ASTRAY = {
    "a number": ("r2 = 5", "jumps to null + 5"),
    "the table itself": ("r2 = ways ll", "jumps to ways"),
    "a function": ("r2 = helper ll", "jumps to function 'helper'"),
    "another function's place": ("r2 = theirs ll\nr2 = *(u64 *)(r2 + 0)", "of function 'helper'"),
    "beside a place": ("r2 = ways ll\nr2 = *(u64 *)(r2 + 0)\nr2 += 1", "jumps to instruction"),
    "behind a place": ("r2 = ways ll\nr2 = *(u64 *)(r2 + 0)\nr2 += 64", "jumps to instruction"),
    "half an entry": ("r2 = ways ll\nr2 = *(u32 *)(r2 + 0)", "jumps to "),
}


@pytest.mark.parametrize("case", GONE_ASTRAY)
def test_a_jump_that_no_table_has_is_stopped(case: str) -> None:
    need_native()
    code, words = GONE_ASTRAY[case]
    text = f"""
.section xdp
main:
    {code.replace(chr(10), "; ")}
    .jumptable ways, here
    gotox r2
here:
    r0 = 1
    r0 = 2
    call helper
    exit
.text
helper:
    r2 = theirs ll
    .jumptable theirs, there
    r2 = *(u64 *)(r2 + 0)
    gotox r2
there:
    r0 = 0
    exit
"""
    result = both(program(text))
    assert "error[vm-jump]: 'main'" in result.wrong
    assert "gotox r2" in result.wrong
    assert words in result.wrong


def test_a_table_can_only_be_read() -> None:
    need_native()
    text = SWITCH.replace("gotox r2", "r3 = ways ll; *(u64 *)(r3 + 0) = 0; gotox r2")
    assert "vm-read-only" in both(program(text)).wrong
    text = SWITCH.replace("r2 += r3", "r2 += 32")
    assert "vm-memory" in both(program(text)).wrong


def test_a_loop_through_a_table_is_stopped_by_the_budget() -> None:
    need_native()
    text = """
.section xdp
main:
again:
    r2 = ways ll
    r2 = *(u64 *)(r2 + 0)
    .jumptable ways, again
    gotox r2
"""
    assert "vm-budget" in both(program(text), budget=1000).wrong


def test_registers_are_followed_through_tables() -> None:
    need_native()
    text = SWITCH.replace("odd:\n    r0 = 20", "odd:\n    r0 = r5")
    assert "reads r5" in both(program(text), bytes(65)).wrong
    assert both(program(text), bytes(64)).r0 == 10
    kept = SWITCH.replace("gotox r2", "r5 = 7; gotox r2").replace("r0 = 20", "r0 = r5")
    assert both(program(kept), bytes(65)).r0 == 7


def test_tail_called_programs_have_their_own_tables() -> None:
    need_native()
    text = (
        SWITCH
        + """
.globl first
.map programs, prog_array, max_entries=1
first:
    r2 = programs ll
    r3 = 0
    call bpf_tail_call
    r0 = 1
    exit
"""
    )
    spec = ebpfasm.assemble(text)
    maps = {"programs": {0: spec.programs["switch"]}}
    assert [both(spec.programs["first"], bytes(64 + each), maps=maps).r0 for each in range(4)] == [
        10, 20, 30, 20,
    ]  # fmt: skip


def test_a_table_in_a_callback() -> None:
    need_native()
    text = """
.license "GPL"
.section xdp
main:
    *(u64 *)(r10 - 8) = 0
    r1 = 8
    r2 = step ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r0 = *(u64 *)(r10 - 8)
    exit
.text
step:
    r4 = *(u64 *)(r2 + 0)
    r1 &= 3
    r1 <<= 3
    r3 = ways ll
    r3 += r1
    r3 = *(u64 *)(r3 + 0)
    .jumptable ways, add, double, add, none
    gotox r3
add:
    r4 += 5
    goto none
double:
    r4 *= 2
none:
    *(u64 *)(r2 + 0) = r4
    r0 = 0
    exit
"""
    value = 0
    for each in range(8):
        value = value * 2 if each % 4 == 1 else value + 5 if each % 2 == 0 else value
    assert both(program(text)).r0 == value


def test_a_trace_says_where_a_jump_went() -> None:
    lines = ebpfasm.run(program(SWITCH), bytes(66), engine="vm", trace=True).trace
    assert lines is not None
    texts = [str(each) for each in lines]
    assert any("ways + 16" in each for each in texts)
    assert any("instruction 13 of function 'switch'" in each for each in texts)


def test_links_fail_for_a_label_that_is_not_there() -> None:
    from dataclasses import replace

    from ebpfasm.ir.tables import table_spec

    spec = program(SWITCH)
    wrong = replace(spec, maps=(table_spec("ways", "switch", ["zero", "three"]),))
    with pytest.raises(LinkError, match=r"there is no label 'switch\.three'"):
        link(wrong)
    with pytest.raises((LinkError, VmError)):
        ebpfasm.run(wrong, bytes(64), engine="vm")
