"""llvm-mc as the judge of whole files: the bytes that it makes of a text."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.support import find_tool


def llvm_code(text: str) -> bytes:
    """The .text that llvm-mc makes of a file; fails where it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        source, made, code = (Path(folder, name) for name in ("in.s", "out.o", "out.bin"))
        source.write_text(text, encoding="utf-8")
        flags = ["-triple=bpfel", "-mcpu=v4", "-filetype=obj", f"-I{folder}"]
        run([find_tool("llvm-mc"), *flags, "-o", str(made), str(source)])
        copy = ["-O", "binary", "--only-section=.text"]
        run([find_tool("llvm-objcopy"), *copy, str(made), str(code)])
        return code.read_bytes()


def llvm_constants(expressions: list[str]) -> list[int]:
    """What llvm-mc makes of expressions, as signed numbers of 64 bits."""
    text = "".join(f".set x{number}, {each}\n" for number, each in enumerate(expressions))
    flags = ["-triple=bpfel", "-filetype=asm"]
    done = run([find_tool("llvm-mc"), *flags], text)
    lines = [line for line in done.splitlines() if line.startswith(".set x")]
    assert len(lines) == len(expressions), done
    return [int(line.rpartition(", ")[2], 0) for line in lines]


def run(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
