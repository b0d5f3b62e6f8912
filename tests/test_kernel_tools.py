"""tools/kernel-vm and tools/kernel-matrix, as far as they go without a machine."""

from __future__ import annotations

import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests.features import FEATURES
from tests.support import ROOT, release_of


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    import kernel_vm.packages as packages

    return packages


@pytest.fixture
def matrix() -> ModuleType:
    loader = SourceFileLoader("kernel_matrix", str(ROOT / "tools" / "kernel-matrix"))
    spec = spec_from_loader("kernel_matrix", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_version_means_the_newest_kernel_of_it(packages: ModuleType) -> None:
    releases = ["6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.117+deb13-amd64", "6.10.3-amd64"]
    fit = [each for each in releases if packages.matches(each, "6.1")]
    assert fit == releases[:2]
    assert packages.newest(fit) == "6.1.0-56-amd64"
    assert packages.newest([]) is None
    odd = ("6.12.117+deb13-cloud-amd64", "6.12.117+deb13-rt-amd64", "amd64", "6.12.1-arm64")
    assert not any(map(packages.is_kernel, odd))
    assert all(map(packages.is_kernel, releases))


REPORT = """<testsuites><testsuite>
<testcase classname="tests.runtime.test_a" name="test_works" />
<testcase classname="tests.runtime.test_a" name="test_breaks[a|b]">
<failure message="no" /></testcase>
<testcase classname="tests.runtime.test_a" name="test_leaks"><error message="no" /></testcase>
<testcase classname="tests.runtime.test_b" name="test_lacks">
<skipped message="unsupported: kprobes" /></testcase>
<testcase classname="tests.runtime.test_b" name="test_waits">
<skipped message="no bash" /></testcase>
</testsuite></testsuites>"""


def test_reports_become_a_table(matrix: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "6.1.xml"
    report.write_text(REPORT)
    found = {"6.1": matrix.results(report), "7.3": {"tests/runtime/test_a::test_works": "pass"}}
    assert matrix.summary(found).splitlines() == [
        "6.1: 1 pass, 2 FAIL, 1 lacks, 1 skipped",
        "7.3: 1 pass, 0 FAIL, 0 lacks, 0 skipped",
    ]
    text = matrix.markdown(found)
    assert "| feature | 6.1 | 7.3 |\n| --- | --- | --- |\n| kprobes | no | yes |\n\n" in text
    assert "## tests/runtime/test_a\n\n| test | 6.1 | 7.3 |\n| --- | --- | --- |\n" in text
    assert "| test_breaks[a\\|b] | FAIL |  |" in text
    assert "| test_lacks | lacks kprobes |  |" in text
    page = matrix.page(found)
    assert '<td class="lacks">lacks kprobes</td>' in page
    assert '<td class="FAIL">FAIL</td>' in page


def test_every_kernel_test_is_in_a_part(matrix: ModuleType) -> None:
    named = [ROOT / selection[-1] for _, selection in matrix.parts([])]
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "mark.kernel" in path.read_text(encoding="utf-8") and path.name not in matrix.LEFT_OUT:
            assert sum(path.is_relative_to(each) for each in named) == 1, path
    assert list(matrix.parts(["tests/elf"])) == [("asked", ["tests/elf"])]


def test_what_failed_or_was_not_run_is_run_again(matrix: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "runtime.xml").write_text(REPORT)
    *missing, again = matrix.left(tmp_path)
    assert missing == [each for each in matrix.parts([]) if each[0] != "runtime"]
    assert again[0] == "again-000"
    broken = ["test_breaks[a|b]", "test_leaks"]
    assert again[1] == [f"tests/runtime/test_a.py::{each}" for each in broken]
    (tmp_path / "again-000.xml").write_text(
        '<testsuite><testcase classname="tests.runtime.test_a" name="test_leaks" /></testsuite>'
    )
    assert matrix.joined(tmp_path) == {
        **matrix.results(tmp_path / "runtime.xml"),
        "tests/runtime/test_a::test_leaks": "pass",
    }
    *_, again = matrix.left(tmp_path)
    assert again == ("again-001", ["tests/runtime/test_a.py::test_breaks[a|b]"])


def test_no_kernel_at_a_time_is_a_sentence(
    matrix: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        matrix.main(["--jobs", "0"])
    assert "argument --jobs: at least one kernel at a time, not 0" in capsys.readouterr().err


def test_the_page_about_kernels_shows_the_features(matrix: ModuleType, bless: bool) -> None:
    kernels = matrix.KERNELS.split(",")
    lines = [f"| feature | {' | '.join(kernels)} |", f"| --- |{' --- |' * len(kernels)}"]
    for name in sorted(FEATURES):
        has = [release_of(each) >= FEATURES[name].since for each in kernels]
        if not all(has):
            lines.append(f"| {name} | {' | '.join('yes' if each else 'no' for each in has)} |")
    page = ROOT / "docs" / "kernels.md"
    text = page.read_text(encoding="utf-8")
    found = re.search(r"^\| feature \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    wanted = "\n".join(lines)
    if bless:
        page.write_text(text.replace(found[0], wanted), encoding="utf-8")
    else:
        assert found[0] == wanted, "run with --bless, and read the difference"


def test_every_feature_that_tests_need_is_in_the_table() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        for words in re.findall(r"mark\.needs\(([^)]*)\)", path.read_text(encoding="utf-8")):
            for name in re.findall(r'"([^"]+)"', words):
                assert name in FEATURES, f"{path}: {name}"
