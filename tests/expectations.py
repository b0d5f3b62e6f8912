"""Programs that carry their expectations on the line that causes them.

`# error[code]@column: message` at the end of a line says that just this is reported there;
a file's diagnostics and its expectations must be the same set, or the test fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ebpfasm.errors import Diagnostic

_EXPECTED = re.compile(r"\s*# (?:error|warning)\[.*$")
_EACH = re.compile(r"(error|warning)\[([\w-]+)\]@(\d+): (.*?)(?= ## |$)")

Found = tuple[int, str]  # line, "error[code]@column: message"


def expected_in(text: str) -> list[Found]:
    """The expectations of a file, in order; several on a line are joined by ` ## `."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        match = _EXPECTED.search(line)
        if match is not None:
            found += [(number, each.group()) for each in _EACH.finditer(match.group())]
    return found


def reported(diagnostics: Iterable[Diagnostic]) -> list[Found]:
    """Diagnostics as expectations are written."""
    found = []
    for each in diagnostics:
        assert each.span is not None, f"no place: {each}"
        place = f"{each.severity}[{each.code}]@{each.span.column}: {each.message}"
        found.append((each.span.line, place))
    return sorted(found)


def bless(path: Path, found: list[Found]) -> None:
    """Rewrite a file's expectations to what is reported now."""
    lines = [_EXPECTED.sub("", line) for line in path.read_text(encoding="utf-8").split("\n")]
    for number, line in enumerate(lines, 1):
        here = [text for place, text in found if place == number]
        if here:
            lines[number - 1] = f"{line}  # {' ## '.join(here)}"
    path.write_text("\n".join(lines), encoding="utf-8")


def check(path: Path, diagnostics: Iterable[Diagnostic], blessing: bool) -> None:
    """Compare a file's diagnostics with its expectations, both ways."""
    found = reported(diagnostics)
    if blessing:
        bless(path, found)
    assert found == sorted(expected_in(path.read_text(encoding="utf-8")))
