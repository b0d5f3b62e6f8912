"""clang's objects in the virtual machine: locks, timers, variables, arenas, coverage of .c "
"lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import frames
from ebpfasm.analysis.vm.coverage import Coverage
from ebpfasm.dsl import R0, Builder
from ebpfasm.errors import LoadError
from ebpfasm.native import native_core
from ebpfasm.runtime.running.anywhere import AnyCollection, open_anywhere
from tests.support import DATA, excuse, find_tool

ENGINES = ("vm", "reference") if native_core() is not None else ("reference",)
CONFIG = {"CONFIG_HZ": 250}
OWN: dict[str, Callable[..., int]] = {
    "bpf_task_acquire": lambda machine, task, *rest: task,
    "bpf_task_release": lambda machine, *rest: 0,
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ebpfasm.CollectionSpec]:
    """Compile one of tests/data/vm and open the object."""
    folder = tmp_path_factory.mktemp("objects")
    kinds = {"little": "bpfel", "big": "bpfeb"}

    def made(name: str) -> ebpfasm.CollectionSpec:
        source, out = DATA / "vm" / f"{name}.c", folder / f"{name}.o"
        headers = [f"-I{each}" for each in Path("/usr/include").glob("*-linux-gnu")]
        options = ["-O2", "-g", "-target", kinds[sys.byteorder], "-mcpu=v4", *headers]
        command = [find_tool("clang"), *options, "-c", str(source), "-o", str(out)]
        subprocess.run(command, check=True, capture_output=True)
        return ebpfasm.open(out)

    return made


Compiled = Callable[[str], ebpfasm.CollectionSpec]


def opened(spec: ebpfasm.CollectionSpec, engine: str, **options: Any) -> AnyCollection:
    more = {} if engine == "kernel" else {"functions": OWN, **options}
    return open_anywhere(spec, engine, kconfig=CONFIG if spec.kconfig else None, **more)


def outcomes(spec: ebpfasm.CollectionSpec, engine: str) -> Iterator[tuple[str, int, str]]:
    """What each program returns and changes, in the order of the file."""
    with opened(spec, engine) as collection:
        for name, program in spec.programs.items():
            data = b"" if program.type == "syscall" else frames.udp()
            found = collection.run(name, data)
            yield name, found.retval, repr(found.changes)


@pytest.mark.kernel
@pytest.mark.tool("clang")
@pytest.mark.parametrize("name", ["objects", "arena"])
def test_the_kernel_and_both_engines_agree(compiled: Compiled, name: str) -> None:
    spec = compiled(name)
    try:
        kernel = list(outcomes(spec, "kernel"))
    except LoadError as refusal:  # a kernel without arenas, or without one of the functions
        if name == "arena" or "load-symbol" in str(refusal):
            excuse(refusal, "6.12")
        raise
    for engine in ENGINES:
        assert list(outcomes(spec, engine)) == kernel


@pytest.mark.tool("clang")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_object_runs_without_a_kernel(compiled: Compiled, engine: str) -> None:
    found = {name: retval for name, retval, _ in outcomes(compiled("objects"), engine)}
    assert found == {
        "locked": 4, "variables": 8250, "timed": -239 & 0xFFFFFFFF, "counted": 3456473,
        "sliced": 41885, "kept": 100,
    }  # fmt: skip
    found = {name: retval for name, retval, _ in outcomes(compiled("arena"), engine)}
    assert found == {"listed": 54321, "full": 10}


@pytest.mark.tool("clang")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_variable_that_is_set_before_is_seen(compiled: Compiled, engine: str) -> None:
    spec = compiled("objects")
    spec.variables["limit"].value = 9
    spec.variables["counter"].value = 1
    with opened(spec, engine) as collection:
        assert collection.run("locked", frames.udp()).retval == 9
        assert collection.run("variables", frames.udp()).retval == 4250


@pytest.mark.tool("clang")
def test_a_configuration_that_nobody_gives_is_asked_for(compiled: Compiled) -> None:
    with pytest.raises(ebpfasm.VmError, match="CONFIG_HZ has no value here") as raised:
        open_anywhere(compiled("objects"), "vm")
    assert 'kconfig={"CONFIG_HZ": ...}' in str(raised.value)
    program = compiled("objects").programs["variables"]
    with pytest.raises(ebpfasm.VmError, match="CONFIG_HZ has no value here"):
        ebpfasm.run(program, frames.udp(), engine="vm")
    given = ebpfasm.run(program, frames.udp(), engine="vm", kconfig=CONFIG)
    assert given.retval == 8250


@pytest.mark.tool("clang")
def test_lines_of_c_are_covered(compiled: Compiled) -> None:
    spec, coverage = compiled("objects"), Coverage()
    source = str(DATA / "vm" / "objects.c")
    text = Path(source).read_text().splitlines()
    with opened(spec, "reference", coverage=coverage) as collection:
        collection.run("variables", frames.udp())
        collection.run("counted", frames.udp())
    lines = coverage.lines()[source]

    def count(start: str) -> int | None:
        return lines.get(
            next(i for i, line in enumerate(text, 1) if line.strip().startswith(start))
        )

    assert (count("counter += hidden++"), count("sum = sum * 10 + *number")) == (1, 5)
    assert count("bpf_spin_lock(") == 0
    assert count("value->count += 100") == 0
    assert count("struct task_struct {") is None
    report = coverage.lcov()
    assert f"SF:{source}\n" in report
    assert "\nFNDA:1,variables\n" in report
    assert "\nFNDA:0,locked\n" in report


@pytest.mark.tool("clang")
def test_coverage_of_text_python_and_c_is_one_report(compiled: Compiled) -> None:
    coverage = Coverage()
    with opened(compiled("objects"), "reference", coverage=coverage) as collection:
        collection.run("variables", frames.udp())
    written = ebpfasm.assemble(".section xdp\nm: r0 = 2\nexit", name="drop.s").programs["m"]
    builder = Builder()
    with builder.program("built", section="xdp") as p:
        p.mov32(R0, 2)
        p.exit()
    for each in (written, builder.build().programs["built"]):
        machine = ebpfasm.virtual_machine(each, coverage=coverage)
        machine.execute(frames.udp())
    found = coverage.lcov()
    for file in (str(DATA / "vm" / "objects.c"), "drop.s", __file__):
        assert f"SF:{file}\n" in found
