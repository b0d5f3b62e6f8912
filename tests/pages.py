"""Documents as tests: every block of code on a page runs, in order, in one folder.

What a block's first line says decides: a file's name behind the language writes that file; Python
with prompts is a doctest, without it is executed; a console's lines behind `$ ` are commands, and
what stands below them is what they print, with `...` for what differs from run to run; behind
"numbers differ" the numbers do too. Assembly without a file's name has to assemble. "not run" is
for commands that set a machine up.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ebpfasm
from tests.support import tool_path

_FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Commands that set a machine up, or need one that is set up.
_SET_UP = re.compile(r"(git|make|cd|apt|apt-get|pip|python3 -m venv|sudo|bpfman|setcap|\.) ")
# What differs from run to run: numbers, and of per-CPU values how many.
_NUMBER = re.compile(r"\d[\d,.]*")
_LISTED = re.compile(r"\[N(, N| N)*\]")


def without_numbers(text: str) -> str:
    """An output with N for each number, and without rulers whose length depends on them."""
    text = _LISTED.sub("[N]", _NUMBER.sub("N", text))
    return re.sub(r"[ =]+", " ", text)


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether an output is what a page shows, but for numbers and what stands for `...`."""
    checker = doctest.OutputChecker()
    return checker.check_output(without_numbers(shown), without_numbers(printed), _FLAGS)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, what else its first line says, and where it stands."""

    language: str
    info: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that say what language they are in."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        if match[1] not in ("", "text"):
            line = text.count("\n", 0, match.start(3)) + 1
            yield Block(match[1], match[2].strip(), match[3], line)


@dataclass
class Reader:
    """Someone who does what a page says, in a folder of its own."""

    page: Path
    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})

    def read(self) -> None:
        """Do all of it. Raises AssertionError where something is not as the page says."""
        usual = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        path = f"{Path(sys.executable).parent}:{self._tools()}:{usual}"
        before = os.environ.get("PATH", usual)
        os.environ["PATH"] = path
        try:
            for block in blocks(self.page):
                self._do(block)
        finally:
            os.environ["PATH"] = before

    def _do(self, block: Block) -> None:
        where = f"{self.page.name}:{block.line}"
        if block.info == "not run":
            for command, _ in commands(block.text):
                assert _SET_UP.match(command), f"{where}: {command} could be run"
        elif block.info == "numbers differ":
            self._console(block, where, is_as_shown)
        elif block.info:
            (self.folder / block.info).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / block.info).write_text(block.text, encoding="utf-8")
        else:
            match block.language:
                case "python" | "pycon" if ">>> " in block.text:
                    self._doctest(block)
                case "python":
                    # As many empty lines as stand above it, so that places are the page's.
                    code = "\n" * (block.line - 1) + block.text
                    exec(compile(code, str(self.page), "exec"), self.names)
                case "console":
                    self._console(block, where, _is_exactly)
                case "asm":
                    ebpfasm.assemble(block.text, name=where)
                case other:
                    raise AssertionError(f"{where}: who runs {other}?")

    def _doctest(self, block: Block) -> None:
        parsed = doctest.DocTestParser().get_doctest(
            block.text, self.names, self.page.name, str(self.page), block.line - 1
        )
        parsed.globs = self.names  # it makes a copy
        runner = doctest.DocTestRunner(optionflags=_FLAGS, verbose=False)
        said: list[str] = []
        runner.run(parsed, out=said.append, clear_globs=False)
        assert runner.failures == 0, "".join(said)

    def _console(self, block: Block, where: str, is_same: Callable[[str, str], bool]) -> None:
        for command, expected in commands(block.text):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env={**os.environ, "COLUMNS": "100"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                check=False,
                timeout=600,
            )
            if not expected:
                assert done.returncode == 0, f"{where}: {command}\n{done.stdout}"
                continue
            same = is_same(expected, done.stdout)
            assert same, f"{where}: {command}\nexpected\n{expected}\ngot\n{done.stdout}"

    def _tools(self) -> Path:
        """A folder with clang under its own name, which Debian's newer ones have not."""
        folder = self.folder / ".tools"
        found = tool_path("clang")
        if not folder.exists():
            folder.mkdir()
            if found is not None:
                (folder / "clang").symlink_to(found)
        return folder


def _is_exactly(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, _FLAGS)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Commands behind the first line's prompt, `$ ` or `# `, with the output below each.

    A backslash continues a command.
    """
    prompt = text[:2]
    command: str | None = None
    output: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith(prompt):
            output.append(line)
            continue
        if command is not None:
            yield command, "".join(f"{each}\n" for each in output)
        command, output = line[2:], []
        while command.endswith("\\"):
            command = command[:-1] + next(lines)
    if command is not None:
        yield command, "".join(f"{each}\n" for each in output)
