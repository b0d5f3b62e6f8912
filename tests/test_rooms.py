"""Rooms look down only, third-party packages keep their rooms, `import ebpfasm` stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# Rooms on one line do not import each other; each looks only at lines above its own here.
FLOORS = (
    {"_native", "closing", "codes", "frozen"},
    {"errors", "native"},
    {"isa", "btf"},
    {"ir"},
    {"asm", "dsl", "elf"},
    {"analysis", "sources"},
    {"emit"},
    {"runtime"},
    {"testing"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

HOMES = {
    "lark": {"asm"},
    "elftools": {"elf"},
    "cffi": {"runtime"},
    "pyroute2": {"runtime", "testing"},
    "pytest": {"testing"},
    "click": {"cli"},
    "rich": {"cli"},
    "numpy": set(FLOOR),  # but only inside functions
}

HEAVY = ("lark", "elftools", "numpy", "pyroute2", "rich", "click", "cffi")


@dataclass(frozen=True, slots=True)
class Import:
    name: str  # absolute and dotted; from a package, with the name that is taken from it
    line: int
    deferred: bool  # inside a function, or for the type checker only


def package_modules() -> list[Path]:
    modules = [*(ROOT / "ebpfasm").rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]
    behind_the_link = ROOT / "ebpfasm" / "runtime"
    return sorted(path for path in modules if behind_the_link not in path.parents)


def dotted(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ("ebpfasm", *parts) if parts[0] == "runtime" else parts


def imports_of(tree: ast.AST, package: tuple[str, ...], deferred: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, node.lineno, deferred)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else ()
                for alias in names:
                    name = ".".join(filter(None, (*base, module, alias.name)))
                    yield Import(name, node.lineno, deferred)
            case _:
                yield from imports_of(node, package, deferred or defers(node))


def defers(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def fault(room: str, found: Import) -> str | None:
    """Say what is wrong with an import in a room, None if it may stay."""
    top, *rest = found.name.split(".")
    if top == "runtime":
        return "runtime under its bare name: write ebpfasm.runtime"
    if top == "ebpfasm":
        return fault_inside(room, rest)
    if top in sys.stdlib_module_names:
        return None
    if room not in HOMES.get(top, set()):
        homes = ", ".join(sorted(HOMES.get(top, {"no room yet: give it one in this test"})))
        return f"{top} in {room} (its home: {homes})"
    if top == "numpy" and not found.deferred:
        return "numpy at the top of a module: import it inside the function that needs it"
    return None


def fault_inside(room: str, rest: list[str]) -> str | None:
    other = rest[0] if rest else ""
    if other in FLOOR:
        looks_down = FLOOR[other] < FLOOR[room]
        return None if other == room or looks_down else f"{room} imports {other}"
    if FLOOR[room] < FLOOR["testing"]:
        return f"{room} imports {other or 'everything'} from the top: name its room"
    return None


def faults(path: Path) -> list[str]:
    names = dotted(path)
    if names == ("ebpfasm", "__init__"):  # the door knows every room; what it costs is tested below
        return []
    where = path.relative_to(ROOT)
    if names[1] not in FLOOR:
        return [f"{where}: {names[1]} is no room: give it a floor in this test"]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    found = ((each.line, fault(names[1], each)) for each in imports_of(tree, names[:-1]))
    return [f"{where}:{line}: {text}" for line, text in found if text is not None]


def test_every_import_looks_down_and_every_package_keeps_its_room() -> None:
    assert [text for path in package_modules() for text in faults(path)] == []


@pytest.mark.parametrize(
    ("room", "source", "expected"),
    [
        ("isa", "from ebpfasm.ir import Label", "isa imports ir"),
        ("isa", "from ..btf import types", "isa imports btf"),
        ("isa", "from ebpfasm import btf", "isa imports btf"),
        ("ir", "def f():\n    import ebpfasm.emit", "ir imports emit"),
        ("ir", "from ebpfasm import assemble", "ir imports assemble from the top: name its room"),
        ("ir", "import ebpfasm", "ir imports everything from the top: name its room"),
        ("dsl", "import lark", "lark in dsl (its home: asm)"),
        ("emit", "import six", "six in emit (its home: no room yet: give it one in this test)"),
        ("cli", "import runtime.maps", "runtime under its bare name: write ebpfasm.runtime"),
        (
            "runtime",
            "import numpy as np",
            "numpy at the top of a module: import it inside the function that needs it",
        ),
        ("runtime", "def f():\n    import numpy", None),
        ("runtime", "if TYPE_CHECKING:\n    import numpy", None),
        ("cli", "from ebpfasm import assemble\nfrom rich.table import Table\nimport os", None),
        ("asm", "from . import parser\nfrom ..isa import table\nfrom .. import errors", None),
    ],
)
def test_the_walk_sees(room: str, source: str, expected: str | None) -> None:
    found = imports_of(ast.parse(source), ("ebpfasm", room))
    texts = [text for each in found if (text := fault(room, each)) is not None]
    assert texts == ([] if expected is None else [expected])


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_ebpfasm_loads_no_third_party_package() -> None:
    done = python(f"import sys, ebpfasm; print(sorted(set(sys.modules) & set({HEAVY!r})))")
    assert (done.stdout, done.stderr) == ("[]\n", "")


UNUSED = ("lark", "elftools", "numpy", "pyroute2", "rich", "cffi",
          "ebpfasm.btf", "ebpfasm.runtime", "ebpfasm.analysis")  # fmt: skip


def test_assembling_a_plain_file_loads_what_it_needs_only(tmp_path: Path) -> None:
    words = ["asm", "examples/xdp_stats_assembly/xdp_stats.s", "-o", str(tmp_path / "x.bin")]
    code = (
        "import os, sys\n"
        f"os.environ['XDG_CACHE_HOME'] = {str(tmp_path)!r}\n"
        "from ebpfasm.cli import main\n"
        f"main({words!r})\n"
        f"print(sorted(set(sys.modules) & set({UNUSED!r})))"
    )
    first, second = python(code), python(code)
    assert "lark" in first.stdout  # the recipes of statements are made
    assert (second.stdout, second.stderr) == ("[]\n", "")


def test_runtime_refuses_its_bare_name() -> None:
    done = python("import runtime")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: import ebpfasm.runtime, not runtime"
