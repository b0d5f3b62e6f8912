"""Running the command in this process: what it prints and how it exits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ebpfasm.cli import main


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


class Command:
    """Calls `ebpfasm` with the given words."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capfdbinary

    def __call__(self, *words: object) -> Outcome:
        try:
            main([str(word) for word in words])
            status: object = 0
        except SystemExit as end:
            status = end.code or 0
        out, err = self._capture.readouterr()
        assert isinstance(status, int)
        return Outcome(status, out.decode(), err.decode())
