"""One face for collections of both engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ebpfasm
from ebpfasm.errors import NotSupported, VmError
from ebpfasm.runtime.running.anywhere import AnyCollection, open_anywhere
from ebpfasm.runtime.running.packets import run_packets

pytest_plugins = ["pytester"]

TAIL = """
.license "GPL"
.map jumps, prog_array, key=u32, value=u32, max_entries=2
.map seen, array, key=u32, value=u64, max_entries=1
.section xdp
first:
    r2 = jumps ll
    r3 = 1
    call bpf_tail_call
    r0 = XDP_PASS
    exit
second:
    *(u32 *)(r10 - 4) = 0
    r1 = seen ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = XDP_DROP
    exit
.globl second
"""


def test_programs_share_maps_and_tail_call_each_other(
    ebpf_collection: Callable[..., AnyCollection],
) -> None:
    opened = ebpf_collection(ebpfasm.assemble(TAIL))
    assert opened.run("first", bytes(64)).retval == 2
    opened.maps["jumps"][1] = opened.programs["second"].handle
    assert opened.programs["first"].verdicts([bytes(64)] * 3) == [1, 1, 1]
    assert opened.run("second", bytes(64)).changes == {"seen": {0: 4}}
    assert opened.maps["seen"].snapshot() == {0: 4}
    del opened.maps["jumps"][1]
    assert opened.run("first", bytes(64)).retval == 2


def test_the_machine_s_options_reach_the_world() -> None:
    text = ".section xdp\nm: call bpf_ktime_get_ns; exit"
    with open_anywhere(ebpfasm.assemble(text), "reference", now=5, seed=1) as opened:
        assert opened.run("m", bytes(14)).retval == 5
        assert opened.world is not None
        opened.world.now = 9
        assert opened.run("m", bytes(14)).retval == 9
    loop = open_anywhere(ebpfasm.assemble(".section xdp\nm: goto m; exit"), "vm", budget=3)
    with pytest.raises(VmError, match="goes on after 3 instructions"):
        loop.run("m", bytes(14))


def test_options_skip_the_kernel_and_closing_is_the_fixture_s(pytester: pytest.Pytester) -> None:
    pytester.makefile(".s", prog=".section xdp\nm: call bpf_ktime_get_ns\nexit\n")
    pytester.makepyfile("""
        def test_clock(ebpf_collection):
            assert ebpf_collection("prog.s", now=7).run("m", bytes(14)).retval == 7
    """)
    done = pytester.runpytest_subprocess("-v", "-rs", "-p", "no:cacheprovider")
    text = done.stdout.str()
    assert "test_clock[vm] PASSED" in text
    assert "test_clock[kernel] SKIPPED" in text
    assert done.ret == 0


def test_what_only_the_virtual_machine_has_is_not_silently_left_out() -> None:
    program = ebpfasm.assemble(TAIL).programs["second"]
    collection = ebpfasm.assemble(TAIL)
    with pytest.raises(NotSupported, match="the kernel has no seed, trace: only the virtual"):
        ebpfasm.run(program, bytes(64), engine="kernel", seed=7, trace=True)
    with pytest.raises(NotSupported, match="the kernel has no budget"):
        run_packets(program, [bytes(64)], engine="kernel", budget=100)
    with pytest.raises(NotSupported, match="the kernel has no now"):
        open_anywhere(collection, "kernel", now=5)
