"""Recipes: how a statement of a known shape becomes an instruction. They are kept between runs.

A shape is a statement without its registers, numbers and names. What it means is learnt from the
grammar (shapes.py), which takes longer to load than most files take to read; so what was learnt
lies in the user's cache, and a file of known shapes needs no grammar.
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from ebpfasm.asm.reading.statements import Role
from ebpfasm.frozen import dataclass
from ebpfasm.isa.table import BY_NAME, InstructionSpec

# The marks that stand in a shape for what was taken out; text.c makes the same.
WIDE, NARROW, NUMBER, NAME = "\x01", "\x02", "\x03", "\x04"

_MOST = 4096  # recipes that are kept
_LONGEST = 200  # characters of a shape that is kept
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field's content comes from: a value's number and sign, or a constant.

    `written` is the constant that the statement itself says; `fixed` is it, or the row's own.
    """

    value: int = -1
    negative: bool = False
    fixed: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a shape becomes an instruction: from one statement of it, all are known.

    `same` are pairs of values that must be equal, `zero` values that must be 0. `name` is the
    value that is a symbol's name, -1 without one; `role` is what that symbol stands for.
    """

    spec: InstructionSpec
    dst: Place
    src: Place
    off: Place
    imm: Place
    same: tuple[tuple[int, int], ...]
    zero: tuple[int, ...]
    name: int = -1
    role: Role | None = None


class Kept:
    """What was learnt in earlier runs: recipes by shape, None for a shape that has none."""

    def __init__(self, path: Path | None) -> None:
        self.words: tuple[str, ...] = ()
        self._path = path
        self._rows: dict[str, Any] = {}
        self._known: dict[str, Recipe | None] = {}
        self._is_new = False
        self._read()

    @property
    def lasts(self) -> bool:
        """Whether there is a place where recipes outlast this run."""
        return self._path is not None

    def __contains__(self, shape: str) -> bool:
        return shape in self._known or shape in self._rows

    def find(self, shape: str) -> Recipe | None:
        """The recipe of a shape, None where it has none or was never met."""
        if shape not in self._known and shape in self._rows:
            self._known[shape] = _from_row(self._rows[shape])
        return self._known.get(shape)

    def add(self, shape: str, recipe: Recipe | None) -> None:
        """Remember what was learnt."""
        self._known[shape] = recipe
        if self._path is not None and len(self._rows) < _MOST and len(shape) <= _LONGEST:
            self._rows[shape] = _to_row(recipe)
            self._is_new = True

    def write(self, words: tuple[str, ...]) -> None:
        """Leave what is new to later runs. Where that fails they learn it again."""
        if not self._is_new or self._path is None:
            return
        self._is_new = False
        self.words = words
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            content = marshal.dumps((_FORMAT, words, self._rows))
            temporary.write_bytes(_sum(content) + content)
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        # marshal believes whatever it is given: it sees only what was written whole.
        if content[:4] != _sum(content[4:]):
            return
        form, words, rows = marshal.loads(content[4:])
        if form == _FORMAT:
            self.words, self._rows = words, rows


def _sum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _to_row(recipe: Recipe | None) -> object:
    if recipe is None:
        return None
    places = [
        (each.value, each.negative, each.fixed, each.written)
        for each in (recipe.dst, recipe.src, recipe.off, recipe.imm)
    ]
    role = recipe.role.name if recipe.role is not None else None
    return recipe.spec.name, places, recipe.same, recipe.zero, recipe.name, role


def _from_row(row: Any) -> Recipe | None:
    if row is None:
        return None
    name, places, same, zero, symbol, role = row
    dst, src, off, imm = (Place(*each) for each in places)
    return Recipe(
        BY_NAME[name], dst, src, off, imm, same, zero, symbol, Role[role] if role else None
    )


@cache
def kept() -> Kept:
    """What this user's earlier runs of the same code learnt."""
    folder = cache_folder()
    return Kept(None if folder is None else folder / f"shapes-{_version()}")


def cache_folder() -> Path | None:
    """The user's folder for what can be made again; None where there is none to be trusted.

    What lies there is read without a second look, so only the user may be able to write to it.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "ebpfasm"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
    except (OSError, AttributeError):
        return None
    return folder


def _version() -> str:
    """A name for the code that recipes come from: other code, other recipes."""
    top, here = Path(__file__).parents[2], Path(__file__).parent
    files = [top / "grammar.lark", top / "isa" / "table.py", top / "asm" / "writing" / "printer.py"]
    files += [here / f"{name}.py" for name in ("reader", "operands", "recipes", "shapes")]
    states: list[object] = [sys.implementation.cache_tag]  # marshal's format is Python's own
    for each in files:
        found = each.stat()
        states += (str(each), found.st_size, found.st_mtime_ns)
    return f"{zlib.crc32(repr(states).encode()):08x}"
