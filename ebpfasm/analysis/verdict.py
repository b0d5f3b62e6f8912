"""What the verifier answers."""

from __future__ import annotations

from dataclasses import dataclass

from ebpfasm.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a program, in the order of its text; functions follow the program.

    `instructions_processed` counts each instruction as often as the analysis ran it.
    """

    program: str
    diagnostics: tuple[Diagnostic, ...]
    instructions_processed: int

    @property
    def ok(self) -> bool:
        """Whether nothing is known that would make the kernel refuse the program."""
        return all(each.severity != "error" for each in self.diagnostics)
