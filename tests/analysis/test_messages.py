"""Whole messages, as a user sees them."""

from __future__ import annotations

import ebpfasm
from ebpfasm.analysis import verify
from ebpfasm.ir import Function, FunctionRef, Item, Label, LabelRef, ProgramSpec, instruction


def said(text: str, name: str = "p.s") -> str:
    (program,) = ebpfasm.assemble(text, name=name).programs.values()
    return "\n".join(map(str, verify(program).diagnostics))


def program(*items: Item, type: str = "xdp", functions: tuple[Function, ...] = ()) -> ProgramSpec:
    return ProgramSpec("prog", "xdp", type, items, license="GPL", functions=functions)


def messages(spec: ProgramSpec, kernel: str | None = None) -> list[str]:
    return [f"{each.code}: {each.message}" for each in verify(spec, kernel=kernel).diagnostics]


def test_an_unwritten_register_comes_with_the_path_and_the_place_to_write_it() -> None:
    assert said(
        """\
.section xdp
    r2 = *(u32 *)(r1 + 16)
    r0 = 1
    if r2 == 0 goto slow
    r2 = 5
    goto out
slow:
    r3 = 1
    goto done
out:
    r0 += r3
done:
    exit
""",
        "drop.s",
    ) == (
        "drop.s:11:5: error[verify-uninit-read]: r3 is read before it is written\n"
        "  11 |     r0 += r3\n"
        "     |     ^^^^^^^^\n"
        "   note: on the path entry -> line 5 -> line 11 (r3 is written only in 'slow', line 8)\n"
        "   hint: initialise r3 before the branch at line 4"
    )


def test_a_register_lost_in_a_call_names_the_call() -> None:
    assert said(".section xdp\nr6 = r1\ncall bpf_ktime_get_ns\nr0 = *(u32 *)(r1 + 0)\nexit") == (
        "p.s:4:1: error[verify-uninit-read]: r1 is read before it is written\n"
        "   4 | r0 = *(u32 *)(r1 + 0)\n"
        "     | ^^^^^^^^^^^^^^^^^^^^^\n"
        "   note: the call at line 3 leaves r1 to r5 unreadable\n"
        "   hint: keep the value in r6 to r9, or on the stack, across the call at line 3"
    )


def test_an_argument_that_a_call_does_not_give_names_the_call() -> None:
    text = ".text\nsum:\nr0 = r1\nr0 += r2\nexit\n.section xdp\nmain:\ncall sum\nexit"
    assert said(text) == (
        "p.s:4:1: error[verify-uninit-read]: r2 is read before it is written\n"
        "   4 | r0 += r2\n"
        "     | ^^^^^^^^\n"
        "   note: r2 is written nowhere in 'sum', and the call at line 8 does not give it\n"
        "   hint: write r2 before the call at line 8"
    )


def test_a_long_path_is_shown_in_short() -> None:
    tests = "\n".join(f"if r2 == {number} goto out" for number in range(20))
    text = (
        f".section xdp\nr2 = *(u32 *)(r1 + 16)\n{tests}\nr0 = r3\nexit\nout:\nr3 = 1\nr0 = 1\nexit"
    )
    note = said(text).splitlines()[3]
    assert note == (
        "   note: on the path entry -> line 4 -> line 5 -> line 6 -> ... -> line 21 -> line 22"
        " -> line 23 (r3 is written only in 'out', line 26)"
    )


def test_calls_in_a_circle_are_shown_as_one() -> None:
    text = """\
.text
ping:
call pong
exit
pong:
call ping
exit
.section xdp
main:
call ping
exit"""
    assert said(text) == (
        "p.s:6:1: error[verify-call-depth]: 'pong' calls 'ping', which leads back to 'pong'\n"
        "   6 | call ping\n"
        "     | ^^^^^^^^^\n"
        "   note: ping -> pong -> ping\n"
        "   hint: eBPF has no recursion: write it as a loop with its state in a map"
    )


def test_a_helper_names_the_few_program_types_that_have_it() -> None:
    text = '.license "GPL"\n.section xdp\nr2 = 0\ncall bpf_override_return\nr0 = 0\nexit'
    assert said(text) == (
        "p.s:4:1: error[verify-helper]: xdp programs cannot call bpf_override_return\n"
        "   4 | call bpf_override_return\n"
        "     | ^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "   hint: these program types have it: kprobe"
    )


def test_without_lines_instructions_are_numbered() -> None:
    spec = program(
        instruction("mov64_imm", dst=0), instruction("add64_reg", dst=0, src=5), instruction("exit")
    )
    (diagnostic,) = verify(spec).diagnostics
    assert str(diagnostic) == (
        "error[verify-uninit-read]: r5 is read before it is written\n"
        "   note: r5 is written nowhere in 'prog'\n"
        "   hint: write r5 first, as in 'r5 = 0'"
    )


def test_every_mistake_is_reported_at_once_and_each_once() -> None:
    assert messages(
        program(
            instruction("mov64_reg", dst=0, src=3),
            instruction("mov64_reg", dst=2, src=3),
            instruction("jeq64_imm", dst=0, imm=1, ref=LabelRef("nowhere")),
            instruction("lsh64_imm", dst=0, imm=64),
            instruction("call_local", ref=FunctionRef("nobody")),
            instruction("ldxdw", dst=0, src=10, off=8),
        )
    ) == [
        "verify-uninit-read: r3 is read before it is written",
        "verify-jump-target: 'prog' has no label 'nowhere'",
        "verify-shift: a shift by 64; 64 bits can be shifted by 0 to 63",
        "verify-jump-target: there is no function 'nobody'",
        "verify-fall-through: control runs off the end of 'prog' here",
        "verify-stack-bounds: 8 bytes at r10+8 are outside the stack",
    ]


def test_a_program_without_instructions_is_told_so() -> None:
    assert messages(program()) == ["verify-empty: 'prog' has no instructions"]
    empty = Function("sub", (Label("here"),))
    caller = program(
        instruction("call_local", ref=FunctionRef("sub")), instruction("exit"), functions=(empty,)
    )
    assert messages(caller) == ["verify-empty: 'sub' has no instructions"]


def test_fields_that_do_not_fit_or_are_not_used_are_reported() -> None:
    assert messages(
        program(
            instruction("mov64_imm", dst=0, src=3, imm=1 << 40),
            instruction("mov64_imm", dst=11),
            instruction("exit", off=5),
        )
    ) == [
        "verify-reserved: mov64_imm does not use src, which holds 3",
        "verify-reserved: mov64_imm: imm = 1099511627776 is outside -2147483648 to 2147483647",
        "verify-reserved: mov64_imm: r11 is no register, dst",
        "verify-reserved: exit does not use off, which holds 5",
    ]


def test_a_named_kernel_must_have_the_instructions_and_helpers() -> None:
    spec = program(
        instruction("mov64_imm", dst=0),
        instruction("bswap64", dst=0),
        instruction("call_helper", imm=125),
        instruction("exit"),
    )
    assert messages(spec) == []
    assert messages(spec, "6.6") == []
    assert messages(spec, "5.4.0-42-generic") == [
        "not-supported: bswap64 came with Linux 6.6; this is checked for 5.4.0-42-generic",
        "not-supported: bpf_ktime_get_boot_ns came with Linux 5.8;"
        " this is checked for 5.4.0-42-generic",
    ]


def test_no_kernel_takes_callx() -> None:
    spec = program(
        instruction("mov64_imm", dst=0), instruction("callx", dst=0), instruction("exit")
    )
    assert messages(spec) == ["not-supported: no kernel takes callx from programs yet"]


def test_a_straight_program_is_processed_instruction_by_instruction() -> None:
    spec = program(instruction("mov64_imm", dst=0), instruction("exit"))
    verdict = verify(spec)
    assert (verdict.program, verdict.ok, verdict.instructions_processed) == ("prog", True, 2)


def test_hooks_that_may_return_void_need_no_return_value() -> None:
    for type in ("struct_ops", "lsm"):
        assert messages(program(instruction("exit"), type=type)) == []
    assert messages(program(instruction("exit"), type="tracing")) == [
        "verify-uninit-read: r0, the return value, is read before it is written"
    ]


def test_a_callback_is_given_its_arguments_and_must_return_something() -> None:
    callback = Function("each", (instruction("mov64_reg", dst=6, src=4), instruction("exit")))
    spec = program(
        instruction("mov64_imm", dst=1, imm=3),
        instruction("lddw_func", dst=2, ref=FunctionRef("each")),
        instruction("mov64_imm", dst=3),
        instruction("mov64_imm", dst=4),
        instruction("call_helper", imm=181),  # bpf_loop
        instruction("exit"),
        functions=(callback,),
    )
    assert messages(spec) == [
        "verify-uninit-read: r0, the return value, is read before it is written"
    ]
