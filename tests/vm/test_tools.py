"""The debugger and line coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Interpreter
from ebpfasm.analysis.vm.coverage import Coverage
from ebpfasm.analysis.vm.debugger import Debugger
from tests.support import ROOT

pytest_plugins = ["pytester"]

TEXT = """.section xdp
main:
    r6 = 5
    r1 = r6
    call double
    r0 += 1
    *(u64 *)(r10 - 8) = 7
    if r0 != 11 goto never
    exit
never:
    r0 = 0
    exit
.text
double:
    r0 = r1
    r0 += r0
    exit
"""


def machine() -> ebpfasm.VirtualMachine:
    return ebpfasm.virtual_machine(ebpfasm.assemble(TEXT, name="p.s").programs["main"])


def line(debugger: Debugger) -> int:
    span = debugger.place.span
    assert span is not None
    return span.line


def test_stepping_shows_registers_places_and_the_stack() -> None:
    with Debugger(machine()) as debugger:
        assert (line(debugger), debugger.describe(debugger.registers["r1"])) == (3, "ctx")
        debugger.step()
        debugger.step()
        assert (line(debugger), debugger.registers["r6"]) == (5, 5)
        debugger.step()
        assert (line(debugger), [each.function for each in debugger.backtrace]) == (
            15, ["double", "main"],
        )  # fmt: skip
        debugger.step_out()
        assert (line(debugger), debugger.registers["r0"]) == (6, 10)
        debugger.step()
        debugger.step()
        assert debugger.stack[-8:] == (7).to_bytes(8, "little")
        assert debugger.read(debugger.registers["r10"] - 8, 1) == b"\x07"
        debugger.go()
        assert (debugger.finished, debugger.r0) == (True, 11)


def test_breakpoints_stop_on_lines_and_stepping_over_stays_in_the_function() -> None:
    with Debugger(machine()) as debugger:
        debugger.break_at(16)
        debugger.go()
        assert line(debugger) == 16
        debugger.clear()
        debugger.step_out()
        assert line(debugger) == 6
        with pytest.raises(ebpfasm.VmError, match="no instruction stands on line 2"):
            debugger.break_at(2)
    with Debugger(machine()) as debugger:
        debugger.break_at(5)
        debugger.go()
        debugger.step_over()
        assert line(debugger) == 6
        debugger.step_line()
        assert line(debugger) == 7


def test_a_debugger_that_is_closed_leaves_the_machine_usable() -> None:
    made = machine()
    with Debugger(made) as debugger:
        debugger.step()
    assert made.execute() == 11


def test_a_fault_reaches_the_one_who_steps() -> None:
    text = ".section xdp\nm: r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit"
    made = ebpfasm.virtual_machine(ebpfasm.assemble(text).programs["m"])
    with Debugger(made) as debugger:
        debugger.step()
        with pytest.raises(ebpfasm.VmError, match="reads 1 byte at null"):
            debugger.step()
        assert debugger.finished


def test_coverage_counts_lines_and_functions_as_lcov() -> None:
    made = machine()
    coverage = Coverage()
    engine = Interpreter(made.machine, coverage)
    for _ in range(3):
        engine.run(*made.machine.begin(b"", None))
    assert coverage.lcov("t") == (
        "TN:t\nSF:p.s\nFN:3,main\nFN:15,double\nFNDA:3,main\nFNDA:3,double\nFNF:2\nFNH:2\n"
        + "".join(f"DA:{number},3\n" for number in (3, 4, 5, 6, 7, 8, 9))
        + "DA:11,0\nDA:12,0\nDA:15,3\nDA:16,3\nDA:17,3\nLF:12\nLH:10\nend_of_record\n"
    )
    assert coverage.table() == (
        "file  lines  missed  cover  missing\np.s      12       2    83%  11-12"
    )


def test_the_plugin_reports_coverage_of_both_engines_tests(pytester: pytest.Pytester) -> None:
    program = ROOT / "examples" / "test_xdp_program" / "drop_ipv6.s"
    pytester.makepyfile(f"""
        import ebpfasm
        PROGRAM = ebpfasm.open({str(program)!r}).programs["drop_ipv6"]

        def test_it_drops_ipv6(ebpf_run):
            assert ebpf_run(PROGRAM, bytes(12) + b"\\x86\\xdd" + bytes(50)).retval == 1
    """)
    out = pytester.path / "cov.info"
    done = pytester.runpytest_subprocess("-v", f"--ebpf-cov={out}", "-p", "no:cacheprovider")
    text = done.stdout.str()
    assert "test_it_drops_ipv6[vm] PASSED" in text
    assert "test_it_drops_ipv6[kernel] " in text
    assert f"SF:{program}" in Path(out).read_text()
    assert "eBPF coverage" in text
    assert done.ret == 0


def test_a_breakpoint_takes_the_end_of_a_file_s_path(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "count.s").write_text(".section xdp\nm: r0 = 1\nr0 = 2\nexit\n")
    made = ebpfasm.virtual_machine(ebpfasm.open(folder / "count.s").programs["m"])
    for name in ("count.s", "programs/count.s", str(folder / "count.s")):
        with Debugger(made) as debugger:
            debugger.break_at(3, name)
            debugger.go()
            assert line(debugger) == 3
    with Debugger(made) as debugger:
        with pytest.raises(ebpfasm.VmError, match=r"no instruction comes from ount\.s"):
            debugger.break_at(3, "ount.s")
        with pytest.raises(ebpfasm.VmError, match=r"lines with instructions: 2, 3, 4"):
            debugger.break_at(5, "count.s")


@pytest.mark.parametrize("native", [True, False])
def test_a_budget_or_clock_that_cannot_be_is_refused(native: bool) -> None:
    program = ebpfasm.assemble(".section xdp\nm: r0 = 1\nexit").programs["m"]
    for budget in (0, -5):
        with pytest.raises(ebpfasm.VmError, match="a budget is 1 or more instructions"):
            ebpfasm.virtual_machine(program, native=native, budget=budget)
    for now in (-1, 1 << 64):
        with pytest.raises(ebpfasm.VmError, match="no time of 64 bits"):
            ebpfasm.virtual_machine(program, native=native, now=now).execute(bytes(64))
    assert ebpfasm.virtual_machine(program, native=native, budget=1 << 70).execute(bytes(64)) == 1


def test_a_breakpoint_stops_once_on_a_line_of_several_instructions() -> None:
    text = ".section xdp\nm: call f\nr0 += 1\nexit\n.text\nf: r0 = 1; r0 += 2; r0 += 4\nexit\n"
    made = ebpfasm.virtual_machine(ebpfasm.assemble(text).programs["m"])
    for method, landing in (("step_out", 3), ("go", None), ("step_line", 7)):
        with Debugger(made) as debugger:
            debugger.break_at(6)
            debugger.go()
            assert (line(debugger), debugger.registers.get("r0")) == (6, None)
            getattr(debugger, method)()
            assert debugger.finished if landing is None else line(debugger) == landing
    with Debugger(made) as debugger:
        debugger.break_at(6)
        debugger.step_over()
        assert line(debugger) == 6  # inside what it steps over
        debugger.step()
        assert (line(debugger), debugger.registers["r0"]) == (6, 1)
