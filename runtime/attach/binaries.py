"""Programs and libraries to probe: their files, and where in them a function begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import ElfError, LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.runtime.attach.failures import impossible
from ebpfasm.runtime.attach.numbers import check_pid
from ebpfasm.runtime.attach.perf import no_symbol
from ebpfasm.runtime.refusals import meaning

if TYPE_CHECKING:
    from ebpfasm.elf.binaries import FunctionSymbol
    from ebpfasm.runtime.attach.methods import Attachable


@dataclass(frozen=True, slots=True)
class Place:
    """Where a uprobe goes: an offset in a file, in bytes, and what it is called."""

    path: str
    offset: int
    name: str


def find_binary(program: Attachable, word: str, pid: int | None) -> str:
    """The file for a path, a library's name or a command's, as the process `pid` sees it.

    Raises LoadError, ValueError for what is no process.
    """
    check_pid(pid)
    if "/" in word:
        path: str = _as_seen_by(pid, os.path.abspath(word))
        if os.path.isfile(path):
            return path
        raise no_symbol(program, f"there is no file {word!r}", None)
    mapped = list(_mapped(pid, word)) if pid is not None else []
    for each in [*mapped, *_in_folders(word)]:
        if os.path.isfile(each) and (".so" in word or os.access(each, os.X_OK)):
            return each
    where = "library in the usual folders" if ".so" in word else "command in $PATH"
    raise no_symbol(program, f"there is no {where} called {word!r}", "give its whole path")


def _as_seen_by(pid: int | None, path: str) -> str:
    """The path of a file of another process, which may be in another mount namespace."""
    if pid is None:
        return path
    inside = f"/proc/{pid}/root{path}"
    return inside if os.path.isfile(inside) else path


def _mapped(pid: int | None, word: str) -> Iterator[str]:
    """Files that a process has mapped and that are called so: libc.so.6."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and os.path.basename(fields[5]) == word:
            yield _as_seen_by(pid, fields[5])


def _in_folders(word: str) -> Iterator[str]:
    if ".so" in word:
        folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
        triplet = str(getattr(sys.implementation, "_multiarch", ""))
        folders += [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
        folders += ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"]
    else:
        folders = os.environ.get("PATH", "").split(":")
        folders += ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    return (os.path.join(each, word) for each in folders if each)


def find_function(program: Attachable, path: str, function: str) -> Place:
    """The place of "name", "name+0x10" or "0x1234" (an offset in the file). Raises LoadError."""
    name, _, tail = function.partition("+")
    try:
        distance = int(tail, 0) if tail else 0
        if name[:1].isdigit():
            return Place(path, int(name, 0) + distance, function)
    except ValueError:
        raise impossible(program, f"{function!r} is no function or offset in a file") from None
    functions = functions_of(program, path)
    symbol = functions.get(name)
    if symbol is None:
        plain = (each for each in functions if "@" not in each)
        hint = did_you_mean(name, plain) or _why_none(path, functions)
        raise no_symbol(program, f"{path} has no function {name!r}", hint)
    return _place(program, path, symbol, distance)


def find_functions(program: Attachable, path: str, wanted: str | Iterable[str]) -> list[Place]:
    """The places of functions, or of all whose names fit a pattern such as "mall*".

    Raises LoadError.
    """
    if not isinstance(wanted, str):
        return [find_function(program, path, each) for each in wanted]
    if not {"*", "?", "["} & set(wanted):
        return [find_function(program, path, wanted)]
    found = [
        symbol
        for name, symbol in functions_of(program, path).items()
        if "@" not in name and fnmatchcase(name, wanted) and not symbol.indirect
    ]
    if not found:
        raise no_symbol(program, f"{path} has no function that fits {wanted!r}", None)
    # Several names may stand for one place, which is probed once.
    places = {symbol.offset: Place(path, symbol.offset, symbol.name) for symbol in found}
    return list(places.values())


def _place(program: Attachable, path: str, symbol: FunctionSymbol, distance: int) -> Place:
    if symbol.indirect:
        message = f"{symbol.name} in {path} is an indirect function: it is called once, to choose"
        hint = "probe one of the functions it chooses from, by name or offset"
        raise impossible(program, message, hint=hint)
    name = f"{symbol.name}+{distance:#x}" if distance else symbol.name
    return Place(path, symbol.offset + distance, name)


def functions_of(program: Attachable, path: str) -> Mapping[str, FunctionSymbol]:
    """The functions of a file. Raises LoadError."""
    from ebpfasm.elf.binaries import read_functions

    try:
        return read_functions(path)
    except (ElfError, OSError) as problem:
        unreadable(program, path, problem)


def unreadable(program: Attachable, path: str, problem: ElfError | OSError) -> NoReturn:
    """Raise the LoadError for a file that cannot be read, or is no program or library."""
    if isinstance(problem, OSError):
        number = problem.errno or 0
        text = f"cannot attach {program.name!r}: {path} cannot be read: {meaning(number)}"
        span = program.spec.span
        raise LoadError(error("attach-failed", text, span), errno=number) from None
    raise impossible(program, problem.diagnostics[0].message) from None


def _why_none(path: str, functions: Mapping[str, FunctionSymbol]) -> str | None:
    if functions:
        return None
    return f"{path} is stripped of its symbols: give an offset in the file, as in 0x1234"
