"""Addresses of the kernel's symbols, from /proc/kallsyms."""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.errors import LoadError, error

_PLACE = "/proc/kallsyms"


def addresses(names: Iterable[str]) -> dict[str, int]:
    """The addresses of those of the symbols that the kernel has.

    Without the right to see them (kernel.kptr_restrict) all of them are 0. Raises LoadError
    where one name stands for several addresses, and where the list cannot be read.
    """
    text = read()
    found: dict[str, int] = {}
    for name in names:
        places = {address for address in _of(text, name.encode("utf-8", "surrogateescape"))}
        if len(places) > 1:
            shown = ", ".join(f"{each:#x}" for each in sorted(places)[:4])
            message = f"kernel symbol {name!r} is ambiguous: {shown}"
            raise LoadError(error("load-symbol", message))
        found.update((name, address) for address in places)
    return found


def read() -> bytes:
    """The whole list. Raises LoadError."""
    try:
        with open(_PLACE, "rb") as file:
            return file.read()
    except OSError as problem:
        message = f"cannot read {_PLACE}: {problem.strerror}"
        raise LoadError(error("load-symbol", message), errno=problem.errno or 0) from None


def _of(text: bytes, name: bytes) -> Iterable[int]:
    """Addresses of a symbol; a variable that LTO has made unique counts ("jiffies.llvm.123")."""
    spelled = b" %s" % name
    at = text.find(spelled)
    while at >= 0:
        end = at + len(spelled)
        kind, behind = text[at - 1 : at], text[end : end + 6]
        if behind[:1] in (b"\n", b"\t", b"") or (kind == b"d" and behind.startswith(b".llvm.")):
            start = text.rfind(b"\n", 0, at) + 1
            yield int(text[start : at - 2], 16)
        at = text.find(spelled, end)
