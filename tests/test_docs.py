"""Generated pages are current, and pages name only what exists."""

from __future__ import annotations

import ast
import os
import pkgutil
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
from tests.pages import Reader, commands, is_as_shown
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


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
        assert anchor in anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_names_that_pages_mention_exist(page: Path) -> None:
    for word in re.findall(r"`([^`\n]+)`", page.read_text()):
        if re.fullmatch(r"(ebpfasm|runtime|tests|tools|docs|examples|benchmarks)/[\w./-]+", word):
            assert (ROOT / word).exists(), word
        named = re.fullmatch(r"(ebpfasm(\.[a-zA-Z]\w*)+)(\(.*)?", word)
        if named is not None:
            assert pkgutil.resolve_name(named[1]) is not None


# Pages that tell how something is done; the others are printed by programs.
TOLD = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        if page.stem not in ("isa", "errors", "reference")]  # fmt: skip


_OF_PAGES = {
    "events": [pytest.mark.needs("user ring buffers")],
    "features": [pytest.mark.needs("instructions of v3")],
}


@pytest.mark.kernel
@pytest.mark.parametrize(
    "page",
    [pytest.param(path, id=path.stem, marks=_OF_PAGES.get(path.stem, ())) for path in TOLD],
)
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


_SHOWN = re.compile(r"```console\n(# ebpfasm example run .*?)```", re.DOTALL)
_DEMO = re.compile(r"```console not run\n\$ make demo\n(.*?)```", re.DOTALL)
_NEEDED = {
    "xsk_capture": pytest.mark.tool("tcpdump"),
    "xdp_stats": pytest.mark.tool("clang"),
    "object_for_libbpf": pytest.mark.tool("bpftool"),
    "uprobe_bash_stats": pytest.mark.needs("uprobes"),
    "kprobe_execve_stats": pytest.mark.needs("perf_event links"),  # the page says so
    "tc_counter": pytest.mark.needs("tcx"),
}


def captured() -> list[object]:
    """Examples whose pages show what they print, with the commands that are shown."""
    found: list[object] = []
    for page in sorted((ROOT / "examples").glob("*/README.md")):
        match = _SHOWN.search(page.read_text(encoding="utf-8"))
        name = page.parent.name
        if match is None or name == "execve_log":  # that is about what others do meanwhile
            continue
        marks = [_NEEDED[name]] if name in _NEEDED else []
        found.append(pytest.param(match[1], id=name, marks=marks))
    return found


def run_example(words: str, folder: Path) -> str:
    """What an example prints. Seconds are tenths here: as many lines, but sooner."""
    name, *options = words.split()
    command = [sys.executable, "-m", f"examples.{name}.run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def printed(*options: str) -> str:
        whole = [*command, *options]
        return subprocess.run(
            whole, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    if "--duration" in options and name not in ("icmp_pcap", "udp_socket_filter"):
        options = re.sub(r"--duration (\d)", r"--duration 0.\1", " ".join(options)).split()
        if "--interval" in printed("--help"):
            options += ["--interval", "0.1"]
    return printed(*options)


@pytest.mark.kernel
@pytest.mark.parametrize("text", captured())
def test_an_example_s_page_shows_what_it_prints(text: str, tmp_path: Path) -> None:
    for command, shown in commands(text):
        example = command.removeprefix("ebpfasm example run ")
        if example != command:
            printed = run_example(example, tmp_path)
        else:  # what is done with the file that the example wrote
            printed = subprocess.run(
                command.split(),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            ).stdout
        assert is_as_shown(shown, printed), printed


@pytest.mark.kernel
def test_the_first_page_shows_what_make_demo_prints(tmp_path: Path) -> None:
    shown = _DEMO.search((ROOT / "README.md").read_text(encoding="utf-8"))
    target = re.search(r"examples\.(\w+)\.run (.*) \$\(ARGS\)", (ROOT / "Makefile").read_text())
    assert shown is not None
    assert target is not None
    printed = run_example(f"{target[1]} {target[2]}", tmp_path)
    assert is_as_shown(shown[1], printed), printed
