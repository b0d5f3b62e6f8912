"""Programs in tests/data/verify: our verdict is what their lines say, and the kernel agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.analysis import verify
from ebpfasm.errors import Diagnostic
from ebpfasm.ir import ProgramSpec
from tests.analysis.judge import judge
from tests.expectations import check
from tests.support import DATA

FILES = sorted((DATA / "verify").glob("*.s"))

# `name:  # kernel accepts: why` or `# kernel rejects: why` where the two verdicts differ.
ACCEPTS, REJECTS = "# kernel accepts:", "# kernel rejects:"


def programs(path: Path) -> list[ProgramSpec]:
    spec = ebpfasm.assemble(path.read_text(encoding="utf-8"), name=path.name)
    return list(spec.programs.values())


PROGRAMS = [pytest.param(path, each, id=f"{path.stem}-{each.name}")
            for path in FILES for each in programs(path)]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_line_is_blamed_for_what_it_says_and_for_nothing_else(path: Path, bless: bool) -> None:
    found: dict[str, Diagnostic] = {}
    for program in programs(path):
        for diagnostic in verify(program).diagnostics:
            # A function that several programs reach is blamed once.
            found.setdefault(
                f"{diagnostic.code} {diagnostic.message} {diagnostic.span}", diagnostic
            )
    check(path, found.values(), bless)


def kernel_differs(path: Path, program: ProgramSpec) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{program.name}:"):
            return next((mark for mark in (ACCEPTS, REJECTS) if mark in line), "")
    return ""


@pytest.mark.kernel
@pytest.mark.parametrize(("path", "program"), PROGRAMS)
def test_the_kernel_gives_the_same_verdict(path: Path, program: ProgramSpec) -> None:
    verdict, judgement = verify(program), judge(program)
    mark = kernel_differs(path, program)
    expected = mark == ACCEPTS if mark else verdict.ok
    assert judgement.accepted == expected, f"{judgement.log}\n{verdict.diagnostics}"
    if not judgement.accepted and not mark:
        assert judgement.codes & {each.code for each in verdict.diagnostics}, judgement.reason
    if mark:
        assert judgement.accepted != verdict.ok, (
            f"{mark} is said of a program that both judge alike"
        )
