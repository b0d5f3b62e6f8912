"""Generated pages are current, and pages name only what exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebpfasm.cli import group
from ebpfasm.errors import CODES
from tests.support import ROOT

PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", *(ROOT / "examples").iterdir())
    for path in folder.glob("*.md")
)


@pytest.mark.parametrize("page", ["isa", "errors"])
def test_printed_pages_are_current(page: str) -> None:
    printed = CliRunner().invoke(group, [page, "--markdown"]).output
    assert (ROOT / "docs" / f"{page}.md").read_text() == printed, "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_code_that_is_used_is_explained_and_every_explained_one_is_used() -> None:
    used: set[str] = set()
    for path in (*(ROOT / "ebpfasm").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")):
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    own = {"not-supported", "file-encoding"}  # used where they are explained
    codes = {word for word in used if word in CODES} | own
    assert codes == set(CODES)
