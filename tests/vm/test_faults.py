"""What the machine stops, and how it says so: at the line, in both engines alike."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.native import native_core
from tests.vm.engines import outcome

# (name, program, the first line of the message without its place); the mark ! ends the line meant
FAULTS = [
    ("past the packet", ".section xdp\nm: r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 70) !\nexit",
     "vm-memory", "reads 1 byte at packet + 70: it has 64 bytes"),
    ("before the packet", ".section xdp\nm: r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 - 1) !\nexit",
     "vm-memory", "reads 1 byte at packet - 1: it has 64 bytes"),
    ("null", ".section xdp\nm: r2 = 0\nr0 = *(u64 *)(r2 + 8) !\nexit",
     "vm-memory", "reads 8 bytes at null + 8, which is no pointer"),
    ("a number", ".section xdp\nm: r2 = 123456\n*(u8 *)(r2 + 0) = 1 !\nr0 = 0\nexit",
     "vm-memory", "writes 1 byte at 0x1e240, which is no pointer"),
    ("below the frame", ".section xdp\nm: r0 = *(u64 *)(r10 - 520) !\nexit",
     "vm-memory", "reads 8 bytes at r10 - 520: the frame is the 512 bytes below r10"),
    ("above the frame", ".section xdp\nm: *(u32 *)(r10 - 2) = 1 !\nr0 = 0\nexit",
     "vm-memory", "writes 4 bytes at r10 - 2: the frame is the 512 bytes below r10"),
    ("into code", ".section xdp\nm: r1 = f ll\nr0 = *(u8 *)(r1 + 0) !\nexit\n.text\nf: exit",
     "vm-memory", "reads 1 byte at function 'f', which only helpers may use"),
    ("map itself", ".map a, array, key=u32, value=u64, max_entries=1\n.section xdp\n"
     "m: r1 = a ll\nr0 = *(u8 *)(r1 + 0) !\nexit",
     "vm-memory", "reads 1 byte at map 'a', which only helpers may use"),
    ("value's end", ".map a, array, key=u32, value=u64, max_entries=4\n.section xdp\n"
     "m: *(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = a ll; call bpf_map_lookup_elem\n"
     "r0 = *(u64 *)(r0 + 4) !\nexit",
     "vm-memory", "reads 8 bytes at a[1] + 4: it has 8 bytes"),
    ("stale packet", ".section xdp\nm: r7 = *(u32 *)(r1 + 0); r2 = -8; call bpf_xdp_adjust_head\n"
     "r0 = *(u8 *)(r7 + 0) !\nexit",
     "vm-memory", "reads 1 byte at a packet pointer from before the packet was moved: load data "
     "and data_end again"),
    ("returned frame", ".section xdp\nm: call f\nr0 = *(u64 *)(r0 - 8) !\nexit\n.text\n"
     "f: r0 = r10; exit",
     "vm-memory", "reads 8 bytes at r10 of call 1 - 8: that function has returned"),
    ("frame that is not open", ".section xdp\nm: r1 = 0x1000000000000 ll; r1 += r10\n"
     "r0 = *(u64 *)(r1 - 8) !\nexit",
     "vm-memory", "reads 8 bytes at r10 of call 1 - 8: that function has returned"),
    ("part of a pointer", ".section xdp\nm: r0 = *(u16 *)(r1 + 0) !\nexit",
     "vm-memory", "reads a part of xdp_md.data, a pointer that loads as 32 bits"),
    ("field", ".section xdp\nm: r0 = 0\n*(u32 *)(r1 + 12) = r0 !\nexit",
     "vm-read-only", "writes ctx + 12, a field that can only be read"),
    ("uninitialised", ".section xdp\nm: r0 = r3 !\nexit",
     "vm-uninit", "reads r3, which holds nothing yet"),
    ("clobbered", ".section xdp\nm: call bpf_ktime_get_ns\nr0 = r1 !\nexit",
     "vm-uninit", "reads r1, which holds nothing yet"),
    ("argument", ".section xdp\nm: call bpf_redirect !\nexit",
     "vm-uninit", "reads r2, which holds nothing yet"),
    ("no result", ".section xdp\nm: r1 = 0\nexit !", "vm-uninit",
     "reads r0, which holds nothing yet"),
    ("frame pointer", ".section xdp\nm: r10 = 5 !\nr0 = 0\nexit", "vm-frame-pointer",
     "writes r10, the frame pointer, which can only be read"),
    ("loop", ".section xdp\nm: r0 = 0\nl: r0 += 1\ngoto l !", "vm-budget",
     "goes on after 10000 instructions"),
    ("end", ".section xdp\nm: r0 = 0 !", "vm-jump", "runs off the end of the function"),
    ("recursion", ".section xdp\nm: call f\nexit\n.text\nf: call f !\nexit", "vm-call-depth",
     "calls more than 8 functions deep"),
    ("no function", ".section xdp\nm: r1 = r10\ncallx r1 !\nexit", "vm-jump",
     "calls r10, which is no function"),
    ("no map", ".section xdp\nm: r1 = 5; r2 = r10\ncall bpf_map_lookup_elem !\nexit", "vm-map",
     "gives null + 5 where a map belongs"),
    ("helper", ".section xdp\nm: r2 = r10; r3 = 4; r4 = 0\ncall bpf_lwt_seg6_action !\nexit",
     "vm-helper", "calls bpf_lwt_seg6_action, which needs a kernel"),
    ("no helper", ".section xdp\nm: call 9999 !\nexit", "vm-helper",
     "calls helper 9999, which does not exist"),
    ("lock twice", ".map a, array, key=u32, value=u64, max_entries=4\n.section xdp\n"
     "m: *(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = a ll; call bpf_map_lookup_elem\nr7 = r0\n"
     "r1 = r7; call bpf_spin_lock\nr1 = r7\ncall bpf_spin_lock !\nexit",
     "vm-lock", "takes a lock while a[0] is held"),
    ("lock kept", ".map a, array, key=u32, value=u64, max_entries=4\n.section xdp\n"
     "m: *(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r1 = a ll; call bpf_map_lookup_elem\n"
     "r1 = r0; call bpf_spin_lock\nr0 = 0\nexit !",
     "vm-lock", "exits with the lock a[0] held"),
    ("record kept", ".map r, ringbuf, max_entries=4096\n.section xdp\n"
     "m: r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve\nr0 = 0\nexit !",
     "vm-helper", "exits with a record of 'r' neither sent nor discarded"),
    ("record's end", ".map r, ringbuf, max_entries=4096\n.section xdp\n"
     "m: r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve\nr0 = *(u64 *)(r0 + 8) !\nexit",
     "vm-memory", "reads 8 bytes at record of 'r' + 8: it has 8 bytes"),
    ("record gone", ".map r, ringbuf, max_entries=4096\n.section xdp\n"
     "m: r1 = r ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve\nr7 = r0; r1 = r0; r2 = 0\n"
     "call bpf_ringbuf_discard\nr0 = *(u64 *)(r7 + 0) !\nexit",
     "vm-memory", "reads 8 bytes at record of 'r' (gone): that memory is gone"),
    ("kernel function", ".section xdp\nm: call btf_id(5, 0) !\nexit", "not-supported",
     "calls a kernel function, which exists only in a kernel"),
    ("callback's line", ".section xdp\nm: r1 = 3; r2 = f ll; r3 = 0; r4 = 0; call bpf_loop\nexit\n"
     ".text\nf: r0 = *(u8 *)(r2 + 0) !\nexit", "vm-memory",
     "reads 1 byte at null, which is no pointer"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "message"), [each[1:] for each in FAULTS],
                         ids=[each[0] for each in FAULTS])  # fmt: skip
def test_the_machine_stops_and_says_where(text: str, code: str, message: str) -> None:
    line = text[: text.index("!")].count("\n") + 1
    program = next(iter(ebpfasm.assemble(text.replace("!", ""), name="p.s").programs.values()))
    engines = (False, True) if native_core() is not None else (False,)
    for native in engines:
        wrong = outcome(program, native=native).wrong
        first = wrong.splitlines()[0]
        assert first.startswith(f"p.s:{line}:")
        assert f": error[{code}]: " in first
        assert first.split("): ", 1)[1] == message


def test_the_backtrace_names_the_calls() -> None:
    text = ".section xdp\nm: call f\nexit\n.text\nf: r1 = 0\ncall g\nexit\n"
    text += "g: r0 = *(u8 *)(r1 + 0)\nexit"
    program = ebpfasm.assemble(text, name="p.s").programs["m"]
    engines = (False, True) if native_core() is not None else (False,)
    for native in engines:
        assert outcome(program, native=native).wrong == (
            "p.s:8:4: error[vm-memory]: 'g', instruction 0 (w0 = *(u8 *)(r1 + 0x0)): "
            "reads 1 byte at null, which is no pointer\n"
            "   8 | g: r0 = *(u8 *)(r1 + 0)\n"
            "     |    ^^^^^^^^^^^^^^^^^^^^\n"
            "   note: p.s:6:1: called from 'f', instruction 1\n"
            "   6 | call g\n"
            "     | ^^^^^^\n"
            "   note: p.s:2:4: called from 'm', instruction 0\n"
            "   2 | m: call f\n"
            "     |    ^^^^^^"
        )


def test_a_machine_goes_on_after_a_fault() -> None:
    text = ".section xdp\nm: r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 20)\nexit"
    program = ebpfasm.assemble(text).programs["m"]
    machine = ebpfasm.virtual_machine(program)
    with pytest.raises(ebpfasm.VmError):
        machine.execute(bytes(20))
    assert machine.execute(bytes(20) + b"\x07") == 7


def test_a_function_that_stands_for_nothing_is_refused() -> None:
    program = ebpfasm.assemble(".section xdp\nm: r0 = 2; exit").programs["m"]
    with pytest.raises(
        ebpfasm.VmError, match="'bpf_fib_lokup' is no helper, and the program calls"
    ):
        ebpfasm.virtual_machine(program, functions={"bpf_fib_lokup": lambda machine: 0})
