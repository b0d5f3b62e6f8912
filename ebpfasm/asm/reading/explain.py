"""Why the grammar does not take a statement, in words for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.isa.mnemonics import WORDS

if TYPE_CHECKING:
    from lark import UnexpectedInput, UnexpectedToken

# Words that begin a statement of the grammar and are no register.
KEYWORDS = (
    "if",
    "goto",
    "gotol",
    "gotox",
    "may_goto",
    "call",
    "callx",
    "exit",
    "lock",
    "store_release",
    "ld_pseudo",
)

# Terminals as a person would call them; the rest are shown as they are written.
_WORDS = {
    "REGISTER": "a register",
    "MNEMONIC_REGISTER": "a register",
    "MNEMONIC": "an instruction",
    "NUMBER": "a number",
    "DIGITS": "a number",
    "CHAR": "a number",
    "NAME": "a name",
    "ALU": "an operator such as +=",
    "COMPARE": "a comparison such as ==",
    "SIGN": "+ or -",
    "TYPE": "a type such as u32",
    "STRING": "a string",
    "SWAP": "be16",
    "FETCH": "atomic_fetch_add",
    "XCHG": "xchg_64",
    "CMPXCHG": "cmpxchg_64",
    "$END": "the end of the line",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": ",",
    "EQUAL": "=",
    "STAR": "*",
    "COLON": ":",
    "VBAR": "|",
}
_HIDDEN = {
    "LABEL",
    "BINARY",
    "PREFIX",
    "LOCAL",
    "FIELD",
    "FLAG",
    "BRACKETED",
    "FETCH",
    "XCHG",
    "CMPXCHG",
    "SWAP",
    "CHAR",
}

_REGISTERS = "registers are r0 to r10 and w0 to w10"
_LABELS = re.compile(r"(?:[\w.$@]+\s*:\s*)*")
_WORD = re.compile(r"[A-Za-z_.$][\w.$@]*")
_REGISTER = re.compile(r"[rRwW][0-9]+$")


def explain(problem: UnexpectedInput, place: Span, text: str) -> Diagnostic:
    """Turn the parser's complaint about a statement into a Diagnostic.

    `text` is the statement with blanks in place of comments.
    """
    first = _unknown_first_word(text)
    if first is not None:
        begin, word = first
        span = Span(place.source, place.start + begin, place.start + begin + len(word))
        return unknown_word(word, span)
    beginning = _whole_word(text, 0)
    if beginning and not _known_beginning(beginning):
        span = Span(place.source, place.start, place.start + len(beginning))
        message = f"{beginning} is no register"
        return error("asm-register", message, span, hint=_REGISTERS)
    return cannot_stand(problem, place, text)


def cannot_stand(problem: UnexpectedInput, place: Span, text: str) -> Diagnostic:
    """What the grammar could not take, and what it could have taken there, in any dialect."""
    position, length, expected = _where(problem, text)
    span = Span(place.source, place.start + position, place.start + position + length)
    found = text[position : position + length]
    if found == '"':
        return error("asm-directive", "this string is never closed", span, hint='close it with "')
    if not found:
        span = Span(place.source, place.end - 1, place.end)
        return error(
            "asm-syntax", f"the statement is not finished: {_list(expected)} is missing", span
        )
    if "$END" in expected and not text.startswith("."):
        rest = Span(place.source, span.start, place.end)
        message = f"{text[position:]!r} stands after the instruction"
        return error("asm-trailing", message, rest, hint="a comment begins with # or //")
    if "REGISTER" in expected and re.fullmatch(r"[A-Za-z_]\w*", _whole_word(text, position)):
        word = _whole_word(text, position)
        span = Span(place.source, span.start, span.start + len(word))
        if "NAME" not in expected:
            return error("asm-register", f"{word} is no register", span, hint=_REGISTERS)
    return error("asm-syntax", f"{found!r} cannot stand here: {_list(expected)} can", span)


def unknown_word(word: str, span: Span, macros: Iterable[str] = ()) -> Diagnostic:
    """The word that begins a statement means nothing; `macros` are words that do."""
    from ebpfasm.asm.objects.sections import OBJECTS_ONLY
    from ebpfasm.asm.reading.directives import DIRECTIVES

    macros = tuple(macros)
    if word.startswith("."):
        hint = did_you_mean(word, (*DIRECTIVES, *macros))
        if word in OBJECTS_ONLY or word.startswith(".cfi_"):
            hint = "a compiler's file becomes an object: ebpfasm asm FILE -o FILE.o"
        return error("asm-directive", f"there is no directive {word}", span, hint=hint)
    hint = did_you_mean(word, (*KEYWORDS, *macros))
    if hint is None and word in WORDS:
        hint = "this dialect writes operators, as in r1 += 2 and r1 = *(u32 *)(r2 + 4)"
    hint = hint or did_you_mean(f".{word}", DIRECTIVES)
    return error("asm-mnemonic", f"there is no instruction {word}", span, hint=hint)


def _unknown_first_word(text: str) -> tuple[int, str] | None:
    labels = _LABELS.match(text)
    begin = labels.end() if labels is not None else 0
    match = _WORD.match(text, begin)
    if match is None or (_known_beginning(match.group()) and match.group()[0] != "."):
        return None
    if match.group().startswith("."):
        from ebpfasm.asm.reading.directives import DIRECTIVES

        return None if match.group() in DIRECTIVES else (begin, match.group())
    rest = text[match.end() :].lstrip()
    # "foo = 1" and "foo += 1" are about a register that does not exist.
    return None if re.match(r"[^\w\s,]{0,3}=", rest) else (begin, match.group())


def _known_beginning(word: str) -> bool:
    return word in KEYWORDS or word.startswith(".") or _REGISTER.match(word) is not None


def _where(problem: UnexpectedInput, text: str) -> tuple[int, int, set[str]]:
    from lark import Token, UnexpectedCharacters, UnexpectedToken

    match problem:
        case UnexpectedToken(token=Token(type="$END")):
            return len(text), 0, _expected(problem)
        case UnexpectedToken():
            token = problem.token
            return token.start_pos or 0, len(token), _expected(problem)
        case UnexpectedCharacters():
            return problem.column - 1, 1, set(problem.allowed)
        case _:
            return len(text), 0, set()


def _expected(problem: UnexpectedToken) -> set[str]:
    return set(problem.accepts)


def _whole_word(text: str, position: int) -> str:
    match = _WORD.match(text, position)
    return match.group() if match is not None else ""


def _list(expected: set[str]) -> str:
    """ "a, b or c", what a person would write rather than the terminals' names."""
    shown = sorted({_WORDS.get(each, each.lower()) for each in expected - _HIDDEN})
    if not shown:
        return "nothing"
    if len(shown) > 6:
        shown = [*shown[:5], "..."]
    *most, last = shown
    return f"{', '.join(most)} or {last}" if most else last
