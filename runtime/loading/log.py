"""The verifier's log, read back into a Diagnostic at the user's own line.

The log is text for people and changes with the kernel, so little is taken for granted: lines
with an instruction's number, then what is wrong with it, then statistics. Since Linux 7.3 a
report with the headings Reason, At and Suggestion stands between. What is not understood is
shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ebpfasm.errors import Diagnostic, Note, error
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import LinkedProgram

_INSTRUCTION = re.compile(r"(\d+): \([0-9a-f]{2}\) ")
_NAMED = re.compile(r"\binsn[ #](\d+)")
# In the report; source lines are pointed at in the same way, so the opcode tells them apart.
_POINTED = re.compile(r">>> *(\d+) \| \([0-9a-f]{2}\)")
# Lines that tell the verifier's state or progress, never what is wrong.
_CHATTER = re.compile(
    r"(\d+: )?(frame\d+: )?R\d+(_\w+)?="  # registers
    r"|(\d+: )?(frame\d+|fp-?\d+|caller|callee|refs|cb|async_cb)\b.*[:=]"
    r"|\d+: \([0-9a-f]{2}\) |;|from \d+ to \d+|\d+: *$"
    r"|processed \d+ insns|verification time|stack depth"
    r"|(f|F)unc#\d+|Validating |last_idx|regs=|parent |mark_precise|propagating"
    r"|returning from callee|to caller"
)
_HEADING = re.compile(r"(Verification failed|Reason|At|Causal path|Suggestion)\s*:\s*(.*)")

# What a message usually means for the one who wrote the program.
_HINTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (r"R0 !read_ok", "set r0, the return value, on every path before exit"),
        (r"R(\d+) !read_ok", "give the register a value on every path to here; "
         "a call clobbers r1 to r5"),
        (r"invalid mem access '(map_value_or_null|ptr_\w*or_null|\w+_or_null_?)'",
         "compare the pointer with 0 first and use it only where it is not null"),
        (r"invalid mem access '(inv|scalar)'",
         "this is a number, not a pointer: arithmetic or a spill may have lost the pointer"),
        (r"invalid access to packet",
         "compare the pointer plus the size of the access with data_end before it"),
        (r"(unreachable insn|unreachable_insn)", "remove the code, or jump to it"),
        (r"back-edge|infinite loop detected",
         "let the loop count towards a constant bound; before Linux 5.3 there are no loops at all"),
        (r"unbounded memory access|unbounded min value|min value is negative|"
         r"outside of the (allowed memory|map_value|packet)",
         "bound the offset first, with an `and` mask or a comparison on both sides"),
        (r"GPL.*non-GPL", 'only GPL programs may call this helper: .license "GPL"'),
        (r"unknown func|program of this type cannot use helper|helper .*not allowed",
         "this kernel or program type does not have the helper"),
        (r"jump out of range|jump into the middle", "a jump may only go to the start of an "
         "instruction in the same function"),
        (r"last insn is not an exit", "end the program with exit, or with a jump backwards"),
        (r"invalid bpf_context access", "the context has no field of this size at this offset "
         "for this access and program type"),
        (r"invalid (indirect )?(read from|access to) stack|invalid stack|invalid write to stack",
         "the stack is the 512 bytes below r10, and bytes are read only after they are written"),
        (r"frame pointer is read only", "r10 cannot be changed: copy it and add to the copy"),
        (r"[Dd]iv(ision)? by zero|DIV_OR_MOD", "a constant divisor must not be 0"),
        (r"invalid shift", "shift by less than the operand's width"),
        (r"BPF program is too large|too many instructions|The sequence of \d+ jumps",
         "the program has too many paths: shorten it, or move parts into functions"),
        (r"combined stack size|stack usage", "the functions on one path share 512 bytes of stack"),
        (r"Unreleased reference", "release on every path what a helper acquired"),
        (r"type=(scalar|inv) expected=", "the helper wants a pointer here, and this is a number"),
        (r"should have been in \[|has (value|smin|unknown)", "return one of the values that "
         "this program type may return"),
        (r"misaligned", "align the access to its size"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a log says: the complaint, the slot it is about if any, and what else helps."""

    message: str
    slot: int | None = None
    details: tuple[str, ...] = ()
    suggestion: str = ""


def read(log: str) -> Rejection | None:
    """Find the complaint in a verifier's log, None where the log says nothing."""
    lines = [line.rstrip() for line in log.splitlines()]
    body, report = _split(lines)
    last = next((i for i in reversed(range(len(body))) if _INSTRUCTION.match(body[i])), -1)
    complaint = [line.strip() for line in body[last + 1 :] if _tells(line)]
    if not complaint:
        complaint = [line.strip() for line in body if _tells(line)][-1:]
    if not complaint and report:
        complaint = [report.get("Verification failed", "")]
    if not complaint:
        # Nothing looks like a complaint, so nothing is understood: its last words, as they are.
        complaint = [line.strip() for line in lines if line.strip()][-3:]
    if not complaint:
        return None
    details = (*complaint[1:], report["Reason"]) if report.get("Reason") else tuple(complaint[1:])
    slot = _slot(complaint, report, body[last] if last >= 0 else "")
    return Rejection(complaint[0], slot, details, report.get("Suggestion", ""))


@dataclass(frozen=True, slots=True)
class Poison:
    """Why an instruction must not be reached: what it needs is not in this kernel.

    It was made a call of a function that does not exist, as libbpf does it; a program that
    checks first never comes there.
    """

    code: str
    message: str
    hint: str | None = None


_NO_POISONS: Mapping[int, Poison] = {}


def diagnose(
    linked: LinkedProgram, log: str, reason: str, poisons: Mapping[int, Poison] = _NO_POISONS
) -> Diagnostic:
    """Make of a log a Diagnostic at the instruction it is about.

    `reason` is the errno in words, for a log that says nothing; `poisons` are instructions by
    slot that the verifier complains about for a reason of ours.
    """
    found = read(log)
    if found is not None and found.slot is not None and found.slot in poisons:
        return _poisoned(linked, found, poisons[found.slot])
    if found is None:
        message = f"the kernel refuses program {linked.name!r} and does not say why: {reason}"
        return error("load-rejected", message, linked.program.span)
    message = f"the verifier refuses program {linked.name!r}: {found.message}"
    at = _instruction(linked, found)
    notes = [*_whereabouts(linked), *(Note(detail) for detail in found.details)]
    if found.slot is not None and (at is None or at.span is None):
        notes.insert(0, Note(f"at instruction {found.slot}"))
    span = linked.program.span if at is None or at.span is None else at.span
    hint = hint_for(found.message) or found.suggestion or None
    return error("load-rejected", message, span, notes=tuple(notes), hint=hint)


def _poisoned(linked: LinkedProgram, found: Rejection, poison: Poison) -> Diagnostic:
    at = _instruction(linked, found)
    span = linked.program.span if at is None or at.span is None else at.span
    message = f"program {linked.name!r}: {poison.message}"
    return error(poison.code, message, span, notes=_whereabouts(linked), hint=poison.hint)


def _whereabouts(linked: LinkedProgram) -> tuple[Note, ...]:
    """The program's section, where its name does not say all of it already."""
    section = linked.program.section
    return (Note(f"program {linked.name!r} is in section {section!r}"),) if section else ()


def hint_for(message: str) -> str | None:
    """Say what a verifier's message usually asks for, None where it is not a known one."""
    return next((hint for pattern, hint in _HINTS if pattern.search(message)), None)


def _split(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """Part the log from the report that newer kernels put behind it."""
    start = next((i for i, line in enumerate(lines) if line.startswith("Verification failed")), -1)
    if start < 0:
        return lines, {}
    report: dict[str, str] = {}
    heading = ""
    for line in lines[start:]:
        if match := _HEADING.match(line):
            heading = match[1]
            report[heading] = match[2]
        elif _CHATTER.match(line):
            break
        elif heading and line.strip():
            report[heading] = f"{report[heading]} {line.strip()}".strip()
    return lines[:start], report


def _tells(line: str) -> bool:
    return bool(line.strip()) and not _CHATTER.match(line.strip())


def _slot(complaint: list[str], report: dict[str, str], instruction: str) -> int | None:
    """The number of the instruction meant: named in the complaint, else in the report or above."""
    for pattern, text in (
        (_NAMED, complaint[0]),
        (_POINTED, report.get("At", "")),
        (_NAMED, report.get("At", "")),
        (_INSTRUCTION, instruction),
    ):
        if match := pattern.search(text):
            return int(match[1])
    return None


def _instruction(linked: LinkedProgram, found: Rejection) -> Instruction | None:
    if "last insn is not an exit" in found.message and linked.instructions:
        return linked.instructions[-1]
    at = None
    for slot, each in linked.slots():
        if found.slot is None or slot > found.slot:
            break
        at = each
    return at
