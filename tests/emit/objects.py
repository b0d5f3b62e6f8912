"""bpftool as a judge of objects: what it loads, and what it says of programs and maps then."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import find_tool


class Refused(Exception):
    """bpftool could not load the object; its text says why."""


@contextmanager
def loaded(content: bytes, folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Load all programs of an object; what bpftool shows of each, by name."""
    path = folder / "object.o"
    path.write_bytes(content)
    pins = Path("/sys/fs/bpf") / f"ebpfasm-{folder.name}"
    command = [find_tool("bpftool"), *options, "prog", "loadall", str(path), str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        if done.returncode != 0:
            raise Refused(done.stdout + done.stderr)
        yield {each.name: bpftool("prog", "show", "pinned", each) for each in pins.iterdir()}
    finally:
        shutil.rmtree(pins, ignore_errors=True)


def bpftool(*words: object) -> Any:
    """Ask bpftool for JSON."""
    command = [find_tool("bpftool"), "-j", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def maps_of(program: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The maps that a program uses, by name."""
    shown = [bpftool("map", "show", "id", number) for number in program.get("map_ids", [])]
    return {each["name"]: each for each in shown}


def variables(map_id: int) -> dict[str, Any]:
    """A data map's variables, by the names that its BTF gives them."""
    (element,) = bpftool("map", "dump", "id", map_id)
    (rows,) = element["formatted"]["value"].values()
    return {name: value for row in rows for name, value in row.items()}


def dump(program: dict[str, Any], *words: str) -> str:
    """The program as the kernel has it, as text."""
    command = [find_tool("bpftool"), "prog", "dump", "xlated", "id", str(program["id"]), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
