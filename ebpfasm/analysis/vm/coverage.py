"""Which lines of a program's source were run: of .s, .py and .c alike, by where instructions stand.

The report is lcov's tracefile format (geninfo(1)), which coverage viewers read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ebpfasm.analysis.vm.code import Code, Routine

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.reference import Interpreter

Lines = dict[int, int]  # line -> how often it was run


class Coverage:
    """An observer of the reference engine that counts; several machines may share one.

    A line counts as often as the instruction of it that was run most. Instructions without a
    place in a source count nowhere.
    """

    def __init__(self) -> None:
        self._codes: dict[int, tuple[Code, dict[int, int]]] = {}  # by id: steps and their counts

    def __call__(self, engine: Interpreter, at: int) -> None:
        """An instruction is about to be run."""
        counts = self.watch(engine.machine.code)
        counts[at] = counts.get(at, 0) + 1

    def watch(self, code: Code) -> dict[int, int]:
        """Report this code even where nothing of it is run; return its counts by step."""
        return self._codes.setdefault(id(code), (code, {}))[1]

    def lines(self) -> dict[str, Lines]:
        """Every line that has instructions, by file."""
        found: dict[str, Lines] = {}
        for code, counts in self._codes.values():
            hits: dict[tuple[str, int], int] = {}
            for at, step in enumerate(code.steps):
                span = step.instruction.span
                if span is not None and step.origin == at:
                    key = span.name, span.line
                    hits[key] = max(hits.get(key, 0), counts.get(at, 0))
            for (name, line), count in hits.items():
                of_file = found.setdefault(name, {})
                of_file[line] = of_file.get(line, 0) + count
        return {name: dict(sorted(found[name].items())) for name in sorted(found)}

    def functions(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Functions by file: the line where each begins, and how often it was entered."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for code, counts in self._codes.values():
            for routine in code.routines:
                name, line = _start(code, routine)
                if line:
                    of_file = found.setdefault(name, {})
                    _, before = of_file.get(routine.name, (line, 0))
                    of_file[routine.name] = line, before + counts.get(routine.start, 0)
        return found

    def lcov(self, test: str = "") -> str:
        """The tracefile. `test` is its name for the run."""
        return "\n".join(self._records(test)) + "\n"

    def _records(self, test: str) -> Iterator[str]:
        functions = self.functions()
        for name, lines in self.lines().items():
            yield f"TN:{test}"
            yield f"SF:{name}"
            here = functions.get(name, {})
            for function, (line, _) in here.items():
                yield f"FN:{line},{function}"
            for function, (_, count) in here.items():
                yield f"FNDA:{count},{function}"
            yield f"FNF:{len(here)}"
            yield f"FNH:{sum(count > 0 for _, count in here.values())}"
            for line, count in lines.items():
                yield f"DA:{line},{count}"
            yield f"LF:{len(lines)}"
            yield f"LH:{sum(count > 0 for count in lines.values())}"
            yield "end_of_record"

    def table(self, folder: str = "") -> str:
        """The report for a terminal: lines, lines not run, which; files as seen from `folder`."""
        rows = [("file", "lines", "missed", "cover", "missing")]
        for name, lines in self.lines().items():
            missed = [line for line, count in lines.items() if not count]
            share = f"{100 * (len(lines) - len(missed)) // len(lines)}%"
            shown = name.removeprefix(f"{folder}/") if folder else name
            rows.append((shown, str(len(lines)), str(len(missed)), share, _ranges(missed, lines)))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join(
            "  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:4], widths[1:]), row[4]))
            .rstrip()
            for row in rows
        )  # fmt: skip


def _start(code: Code, routine: Routine) -> tuple[str, int]:
    span = code.steps[routine.start].instruction.span
    return (span.name, span.line) if span is not None else ("", 0)


def _ranges(missed: list[int], lines: Lines) -> str:
    """Lines as "4-6, 9": neighbours among those that have instructions are one range."""
    order = {line: index for index, line in enumerate(lines)}
    parts: list[list[int]] = []
    for line in missed:
        if parts and order[line] == order[parts[-1][-1]] + 1:
            parts[-1].append(line)
        else:
            parts.append([line])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
