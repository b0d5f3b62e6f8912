"""The forms that an example's program comes in: assembly text, Python, C."""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path

import ebpfasm
from ebpfasm.errors import EbpfError, error

CLANGS = ("clang", *(f"clang-{version}" for version in range(21, 13, -1)))


def add_option(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Let people choose a form, where there are several."""
    parser.add_argument(
        "--from", dest="form", choices=forms(folder), default=forms(folder)[0],
        help="which form of the program to use (default: %(default)s)",
    )  # fmt: skip


def forms(folder: Path) -> list[str]:
    """The forms that the example in a folder has."""
    name = folder.name
    there = {
        "asm": folder / f"{name}.s",
        "python": folder / "program.py",
        "c": folder / "bpf" / f"{name}.c",
    }
    return [form for form, path in there.items() if path.exists()]


def spec_of(folder: Path, form: str) -> ebpfasm.CollectionSpec:
    """The example's programs and maps from one of its forms; C needs clang."""
    name = folder.name
    match form:
        case "asm":
            return ebpfasm.open(folder / f"{name}.s")
        case "python":
            made = import_module(f"examples.{name}.program").spec
            assert isinstance(made, ebpfasm.CollectionSpec)
            return made
        case _:
            return compiled(folder / "bpf" / f"{name}.c")


def compiled(source: Path) -> ebpfasm.CollectionSpec:
    """What clang makes of a C file. Raises EbpfError where there is no clang or it refuses."""
    clang = next((found for name in CLANGS if (found := shutil.which(name))), None)
    if clang is None:
        hint = "install clang and libbpf's headers (apt install clang libbpf-dev)"
        raise EbpfError(error("file-missing", "clang is needed to compile C", hint=hint))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{source.stem}.o"
        command = [clang, "-O2", "-g", "-Wall", "-target", "bpf", "-mcpu=v3"]
        # Where Debian keeps asm/types.h, which linux/bpf.h wants.
        command += ["-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]
        done = subprocess.run(
            [*command, "-c", source, "-o", target], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise EbpfError(error("file-kind", f"clang refuses {source}:\n{done.stderr.strip()}"))
        return ebpfasm.open(target)
