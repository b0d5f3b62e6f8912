"""The C programs of tests/data/elf as objects, compiled once a session, and a judge of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.support import DATA, find_tool, missing

SOURCES = DATA / "elf"
CPUS = ("v1", "v2", "v3", "v4")
NATIVE = "bpfel" if sys.byteorder == "little" else "bpfeb"
JUDGE = Path(__file__).with_name("judge.c")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ebpfasm-elf-")


def _headers() -> list[str]:
    """Folders with asm/types.h, which Debian keeps by architecture."""
    found = sorted(Path("/usr/include").glob("*-linux-gnu"))
    return [f"-I{each}" for each in found if (each / "asm" / "types.h").exists()]


@cache
def compiled(name: str, *options: str, cpu: str = "v3", target: str = NATIVE) -> Path:
    """The object of NAME.c, with debug information unless the options say otherwise."""
    label = "".join(each for each in "".join(options) if each.isalnum())
    folder = Path(_folder().name) / f"{cpu}-{target}-{label}"
    folder.mkdir(exist_ok=True)
    out = folder / f"{name}.o"
    _clang(name, out, "-c", *(options or ("-g",)), cpu=cpu, target=target)
    return out


@cache
def assembled(name: str, *options: str, cpu: str = "v3", target: str = NATIVE) -> Path:
    """What clang -S writes of NAME.c."""
    out = compiled(name, *options, cpu=cpu, target=target).with_suffix(".s")
    _clang(name, out, "-S", *(options or ("-g",)), cpu=cpu, target=target)
    return out


def _clang(name: str, out: Path, kind: str, *options: str, cpu: str, target: str) -> None:
    command = [find_tool("clang"), "-target", target, f"-mcpu={cpu}", "-O2", kind, *options]
    subprocess.run([*command, *_headers(), str(SOURCES / f"{name}.c"), "-o", str(out)], check=True)


@cache
def judge() -> Path:
    """The program that says what libbpf hands to the kernel."""
    out = Path(_folder().name) / "judge"
    done = subprocess.run(
        [find_tool("clang"), "-O1", "-Wall", "-o", str(out), str(JUDGE), "-lbpf"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        missing("libbpf", f"libbpf's headers are not installed: {done.stderr[:200]}")
    return out
