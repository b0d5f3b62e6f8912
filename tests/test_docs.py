"""Generated pages are current, and pages name only what exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebpfasm.cli import group
from ebpfasm.codes import CODES
from ebpfasm.runtime.network.veth import VethPair
from examples.stage import UDP_FRAME
from tests.pages import Reader
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


def test_the_reference_is_current() -> None:
    command = [sys.executable, str(ROOT / "tools" / "reference")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "reference.md").read_text() == printed, "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


# Pages that tell how something is done; the others are printed by programs.
TOLD = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        if page.stem not in ("isa", "errors", "reference")]  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize("page", TOLD, ids=lambda path: path.stem)
def test_a_page_can_be_followed_word_by_word(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    over = threading.Event()
    with VethPair("eth0", "peer") as pair, pair.near.entered():

        def traffic() -> None:
            while not over.wait(0.01):
                pair.send([UDP_FRAME] * 10)

        sender = threading.Thread(target=traffic)
        sender.start()
        try:
            Reader(page, tmp_path).read()
        finally:
            over.set()
            sender.join()


def test_every_code_that_is_used_is_explained_and_every_explained_one_is_used() -> None:
    used: set[str] = set()
    for path in (*(ROOT / "ebpfasm").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")):
        if path.name in ("errors.py", "codes.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    own = {"not-supported", "file-encoding"}  # used where they are explained
    codes = {word for word in used if word in CODES} | own
    assert codes == set(CODES)
