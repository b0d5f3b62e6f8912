"""Programs in tests/data/verify: our verdict is what their lines say, and the kernel agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.analysis import verify
from ebpfasm.errors import Diagnostic
from ebpfasm.ir import ProgramSpec
from tests.analysis.judge import judge
from tests.expectations import check
from tests.needed import need
from tests.support import DATA, kernel_release, release_of

FILES = sorted((DATA / "verify").glob("*.s"))

# `name:  # Linux 7.3 accepts: why` where a kernel's verdict, from that release on, is not ours;
# `# before Linux 6.8 rejects: why` where it was not.
OTHERWISE = re.compile(r"# (before )?Linux ([\d.]+) (accepts|rejects):")


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


def says_otherwise(path: Path, program: ProgramSpec) -> str:
    """What the running kernel does with a program, where the file says that we do not."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{program.name}:") and (found := OTHERWISE.search(line)):
            older = kernel_release() < release_of(found[2])
            return found[3] if older == bool(found[1]) else ""
    return ""


@pytest.mark.kernel
@pytest.mark.parametrize(("path", "program"), PROGRAMS)
def test_the_kernel_gives_the_same_verdict(path: Path, program: ProgramSpec) -> None:
    need(program)
    verdict, judgement = verify(program), judge(program)
    otherwise = says_otherwise(path, program)
    expected = otherwise == "accepts" if otherwise else verdict.ok
    assert judgement.accepted == expected, f"{judgement.log}\n{verdict.diagnostics}"
    if not judgement.accepted and not otherwise:
        assert judgement.codes & {each.code for each in verdict.diagnostics}, judgement.reason
    if otherwise:
        assert judgement.accepted != verdict.ok, (
            f"the file says that this kernel {otherwise} what both judge alike"
        )
