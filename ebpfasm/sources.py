"""From a file to a collection, by what the file is: assembly, Python, an object, or bare bytes.

Only reads. What it reads depends on nothing but the file, and a Python program is run, as an
import would run it, because that is how the builder is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ebpfasm.errors import Diagnostic, EbpfError, Source, Span, error
from ebpfasm.ir import CollectionSpec, collect, decode, lift
from ebpfasm.isa.codec import ByteOrder

ELF_MAGIC = b"\x7fELF"
SUFFIXES = {
    ".s": "assembly",
    ".asm": "assembly",
    ".S": "assembly",
    ".py": "python",
    ".o": "elf",
    ".bin": "raw",
}


def open_collection(
    source: str | os.PathLike[str] | bytes,
    dialect: str = "auto",
    *,
    include: Iterable[str | os.PathLike[str]] = (),
    btf: str | os.PathLike[str] | None = None,
    byteorder: ByteOrder | None = None,
    types: Mapping[str, str] | None = None,
) -> CollectionSpec:
    """Read a file, or bytes that are an ELF object or bare instructions.

    The dialect, the folders to include from, the BTF and the byte order are for assembly text
    (asm.assemble); `types`, program types by section, are for objects (elf.collection_of), which
    compilers' assembly is too. Raises the error of the room that reads it, and EbpfError where
    the file cannot be opened or its kind cannot be told.
    """
    if isinstance(source, bytes):
        return _from_bytes(source, "<bytes>", types)
    path = source if isinstance(source, Path) else Path(source)
    content = read_bytes(path)
    if content.startswith(ELF_MAGIC):
        return _from_bytes(content, str(path), types)
    match SUFFIXES.get(path.suffix):
        case "assembly":
            from ebpfasm.asm import assemble
            from ebpfasm.asm.reading.raw import is_llvm_file

            text = decode_text(content, str(path))
            if dialect != "mnemonic" and is_llvm_file(text):
                return _from_compiler(text, str(path), byteorder, include, types)
            return assemble(text, str(path), dialect, include=include, btf=btf, byteorder=byteorder)
        case "python":
            return _from_python(path, decode_text(content, str(path)))
        case "raw":
            return _from_bytes(content, path.stem, types)
        case "elf":
            raise _failure("elf-format", f"{path} is not an ELF file")
        case _:
            hint = "end its name in .s (assembly), .py (builder), .o (ELF) or .bin (bytes)"
            raise _failure("file-kind", f"{path}: cannot tell what kind of file this is", hint)


def read_bytes(path: Path) -> bytes:
    """A file's content; EbpfError in one sentence where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as problem:
        raise _failure(
            "file-missing", f"{path}: {(problem.strerror or str(problem)).lower()}"
        ) from None


def decode_text(content: bytes, name: str) -> str:
    """A file's bytes as UTF-8; EbpfError at line and column of the first byte that is not."""
    return Source.decoded(name, content).text


def _from_bytes(content: bytes, name: str, types: Mapping[str, str] | None) -> CollectionSpec:
    if content.startswith(ELF_MAGIC):
        from ebpfasm.elf import collection_of, read_object

        return collection_of(read_object(content, name, whole=False), name, types=types)
    program = lift(decode(content), name=name if name.isidentifier() else "main")
    return collect([program], program.functions)


def _from_compiler(
    text: str,
    name: str,
    byteorder: ByteOrder | None,
    include: Iterable[str | os.PathLike[str]],
    types: Mapping[str, str] | None,
) -> CollectionSpec:
    """What clang -S wrote: an object in words."""
    from ebpfasm.asm.objects import assemble_object
    from ebpfasm.elf import collection_of

    order: ByteOrder = byteorder or ("little" if sys.byteorder == "little" else "big")
    return collection_of(
        assemble_object(text, name, byteorder=order, include=include), name, types=types
    )


def _from_python(path: Path, text: str) -> CollectionSpec:
    """Run a builder's module and take the one CollectionSpec that it leaves behind."""
    import runpy

    try:
        compile(text, str(path), "exec")
    except SyntaxError as problem:
        source = Source(str(path), text)
        start = sum(len(line) + 1 for line in text.split("\n")[: (problem.lineno or 1) - 1])
        span = Span(source, start + (problem.offset or 1) - 1, start + (problem.offset or 1))
        raise EbpfError(error("file-kind", f"not Python: {problem.msg}", span)) from None
    try:
        module = runpy.run_path(str(path))
    except EbpfError:
        raise
    except Exception as problem:
        raise EbpfError(_stopped(problem, str(path), text)) from problem
    found = [value for value in module.values() if isinstance(value, CollectionSpec)]
    if not found:
        hint = "leave one in a variable: spec = builder.build()"
        raise _failure("file-kind", f"{path} leaves no CollectionSpec behind", hint)
    if any(other is not found[0] for other in found):
        raise _failure(
            "file-kind", f"{path} leaves {len(found)} CollectionSpecs behind, where one is needed"
        )
    return found[0]


def _stopped(problem: Exception, name: str, text: str) -> Diagnostic:
    """What an exception in a builder's module says, at the line of the module that led to it."""
    import traceback

    message = traceback.format_exception_only(problem)[-1].strip()
    frames = traceback.extract_tb(problem.__traceback__)
    numbers = [each.lineno for each in frames if each.filename == name and each.lineno]
    if not numbers:
        return error("file-python", f"{name}: {message}")
    lines = text.split("\n")
    line = lines[numbers[-1] - 1]
    start = sum(len(each) + 1 for each in lines[: numbers[-1] - 1])
    blank = len(line) - len(line.lstrip())
    return error("file-python", message, Span(Source(name, text), start + blank, start + len(line)))


def _failure(code: str, message: str, hint: str | None = None) -> EbpfError:
    return EbpfError(error(code, message, hint=hint))
