"""What libbpf makes of an object, as values: it is asked through judge.c."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.elf.objects import judge


@dataclass
class Opened:
    """A program when the object is open: its own instructions only."""

    name: str
    section: str
    type: int
    attach_type: int
    slots: int
    autoload: bool


@dataclass
class Loaded:
    """A program as it is handed to the kernel."""

    name: str
    type: int
    attach_type: int
    flags: int
    license: str
    code: bytes
    functions: list[tuple[int, int]] = field(default_factory=list)
    lines: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass
class Seen:
    """Everything."""

    opened: dict[str, Opened] = field(default_factory=dict)
    described: dict[str, tuple[object, ...]] = field(default_factory=dict)
    maps: dict[int, str] = field(default_factory=dict)
    created: dict[str, tuple[object, ...]] = field(default_factory=dict)
    slots: dict[str, dict[int, str]] = field(default_factory=dict)
    loaded: dict[str, Loaded] = field(default_factory=dict)


def short(name: str) -> str:
    """A map's own name: libbpf puts the object's before those of plain data sections."""
    head, dot, rest = name.partition(".")
    kinds = ("data", "rodata", "bss", "kconfig")
    return f".{rest}" if dot and head and rest.startswith(kinds) else name


def ask(path: Path, *autoload: str) -> Seen:
    """Open and load an object; `autoload` names optional programs that are wanted too."""
    done = subprocess.run(
        [str(judge()), str(path), *autoload], capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, done.stderr
    seen = Seen()
    last = None
    for line in done.stdout.splitlines():
        word, *rest = line.split(" ")
        match word:
            case "open":
                name, section, *numbers = rest
                kind, attach, slots, wanted = map(int, numbers)
                seen.opened[name] = Opened(name, section, kind, attach, slots, bool(wanted))
            case "describe":
                name, *numbers, pin, content = rest
                values = tuple(map(int, numbers))
                seen.described[short(name)] = (*values, pin != "-", content)
            case "map":
                fd, name, *numbers, inner = rest
                seen.maps[int(fd)] = short(name)
                seen.created[short(name)] = (*map(int, numbers), seen.maps.get(int(inner), ""))
            case "fill":
                owner, key, value = map(int, rest)
                seen.slots.setdefault(seen.maps[owner], {})[key] = seen.maps.get(value, "")
            case "program":
                name, kind_, attach_, flags, *license, code = rest
                numbers_ = int(kind_), int(attach_), int(flags)
                last = Loaded(name, *numbers_, " ".join(license), bytes.fromhex(code))
                seen.loaded[name] = last
            case "func" if last is not None:
                slot, type_id = map(int, rest)
                last.functions.append((slot, type_id))
            case "line" if last is not None:
                slot, file, text, position = map(int, rest)
                last.lines.append((slot, file, text, position))
            case _:
                raise AssertionError(line)
    return seen
