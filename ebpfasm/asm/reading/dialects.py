"""The dialects of assembly, and which one a text is written in.

*llvm* is that of clang -S, llvm-objdump and the kernel's verifier log: `r0 += 1`. *mnemonic*
is that of ubpf, the bpf_conformance vectors and GNU as: `add %r0, 1`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal, assert_never

from ebpfasm.asm.reading import lines
from ebpfasm.errors import Diagnostic, Source, unsupported

if TYPE_CHECKING:  # the parser is not wanted by those who only write
    from ebpfasm.asm.reading.names import Names
    from ebpfasm.asm.reading.quick import QuickReader
    from ebpfasm.asm.reading.reader import StatementReader

Dialect = Literal["llvm", "mnemonic"]
DIALECTS: tuple[Dialect, ...] = ("llvm", "mnemonic")

# Statements that are listened to before the text is decided: one foreign line does no harm.
_VOTES = 15
_FIRST_LOOK = 8192  # characters; whole texts are looked through only if these say nothing

_LABELS = re.compile(r"(?:[\w.$@]+[^\S\n]*:\s*)*")
_LLVM = re.compile(
    r"""
      [rRwW]\d+ \s* (?: s?(?: << | >> | [-+*/%|&^] ) )? =    # r1 = ..., r1 s>>= ...
    | \*                                                     # *(u32 *)(r1 + 0) = ...
    | lock \s* \*
    | (?: if | goto | gotol | ld_pseudo ) \s
    | (?: call | gotol? | may_goto ) \s+ pc [+-]
    | store_release \s* \(
    """,
    re.VERBOSE,
)
# Compiled where a statement is not LLVM's: most files have none.
_MNEMONIC = r"""
      [a-z_]\w* \s+ (?: %r\d | %fp | \[ )                    # any word before %r1 or [r1+8]
    | lock \s+ [a-z]
    | call \s+ (?: local | runtime | helper ) \s+ [\w%+-]
    """
_WORD = re.compile(r"([a-z]\w*)\s+[^\s=(]", re.IGNORECASE)
# Both dialects have these, and may write the same behind them.
_SHARED = frozenset(("call", "callx", "exit", "gotox", "may_goto", "lock"))


@cache
def _own_words() -> frozenset[str]:
    from ebpfasm.isa.mnemonics import WORDS

    return frozenset(word for word in WORDS if " " not in word) - _SHARED


@cache
def _mnemonic() -> re.Pattern[str]:
    return re.compile(_MNEMONIC, re.VERBOSE | re.IGNORECASE)


def writable(dialect: str) -> Dialect:
    """The dialect of that name. Raises NotSupported where there is none."""
    match dialect:
        case "llvm" | "mnemonic":
            return dialect
        case _:
            hint = f"dialects are {' and '.join(DIALECTS)}; auto is for reading"
            raise unsupported(f"the dialect {dialect!r}", hint=hint)


def reader_of(
    text: str, dialect: str
) -> Callable[[Source, list[Diagnostic], Names], QuickReader | StatementReader]:
    """What makes the reader for a text; with `auto`, the one that the text asks for.

    Raises NotSupported.
    """
    chosen = detect(text) if dialect == "auto" else writable(dialect)
    match chosen:
        case "llvm":
            from ebpfasm.asm.reading.quick import QuickReader

            return QuickReader
        case "mnemonic":
            from ebpfasm.asm.reading.mnemonic_reader import MnemonicReader

            return MnemonicReader
        case _:
            assert_never(chosen)


def detect(text: str) -> Dialect:
    """Tell a text's dialect by its first statements; one that could be either is LLVM's.

    >>> detect("out: exit"), detect("mov %r0, 1"), detect("r0 = 1")
    ('llvm', 'mnemonic', 'llvm')
    """
    votes = _votes(text[:_FIRST_LOOK].rpartition("\n")[0] if len(text) > _FIRST_LOOK else text)
    if not votes and len(text) > _FIRST_LOOK:
        votes = _votes(text)
    if not votes:
        return "llvm"
    ours = votes.count("mnemonic")
    if 2 * ours == len(votes):
        return votes[0]
    return "mnemonic" if 2 * ours > len(votes) else "llvm"


def _votes(text: str) -> list[Dialect]:
    votes: list[Dialect] = []
    for statement in _statements(text):
        if _LLVM.match(statement) is not None:
            votes.append("llvm")
        elif _mnemonic().match(statement) is not None or _is_own(statement):
            votes.append("mnemonic")
        if len(votes) == _VOTES:
            break
    return votes


def _statements(text: str) -> Iterator[str]:
    """What stands first in each line, without labels. A `;` ends it in either dialect."""
    for line in lines.without_comments(Source("", text), [], lines.MNEMONIC).split("\n"):
        match = _LABELS.match(line.strip())
        statement = line.strip()[match.end() if match is not None else 0 :]
        if statement and not statement.startswith("."):
            yield statement


def _is_own(statement: str) -> bool:
    match = _WORD.match(statement)
    return match is not None and match[1].lower() in _own_words()
