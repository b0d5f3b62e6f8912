r"""Macros: what `.macro` defines, what a call gives, and the text that comes of both.

As in LLVM's assembler. Arguments are apart by commas or blanks, are given by place or as
`name=value`, and lose the quotes around a string. In the body `\name` is an argument, `\@` the
number of macros expanded before, and `\()` nothing, to end a name. Beyond LLVM, a name ends at
a dot too where that makes it a parameter: `\header.saddr`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Note, Source, Span, error
from ebpfasm.frozen import dataclass

USAGE = "write .macro NAME A, B=5, C:req, D:vararg"

_NAME = re.compile(r"[A-Za-z_.$][\w.$@]*")
_PARAMETER = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*(?::\s*(\w+))?\s*(=(?!=))?\s*")
_KEYWORD = re.compile(r"([A-Za-z_.$][\w.$]*)\s*=(?!=)\s*")
_TOKEN = re.compile(
    r"""
      (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<operator>[-+~/*|^&!<>=])
    | (?P<space>\s+)
    | (?P<word>'(?:\\.|[^'\\\n])'|[\w.$@\\%]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_REFERENCE = re.compile(r"\\(?:(@)|(\(\))|([\w.$]+)(\(\))?)", re.ASCII)
_STRINGS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'')


class Misused(Exception):
    """A macro is defined or called wrongly; the diagnostic says how."""

    def __init__(self, message: str, span: Span, hint: str | None = None, *notes: Note) -> None:
        super().__init__(message)
        self.diagnostic: Diagnostic = error("asm-macro", message, span, notes=notes, hint=hint)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; the last may take all that is left (`vararg`)."""

    name: str
    default: str = ""
    required: bool = False
    vararg: bool = False


@dataclass(frozen=True, slots=True)
class Macro:
    """A definition. `line` is where in the file `source` its body begins."""

    name: str
    parameters: tuple[Parameter, ...]
    body: str
    source: str
    line: int
    span: Span

    def size(self, given: Mapping[str, str]) -> int:
        """Characters of the body with the arguments in it, at most."""
        grown = sum(len(value) * self.body.count(f"\\{name}") for name, value in given.items())
        return len(self.body) + grown

    def expand(self, given: Mapping[str, str], count: int, call: Span) -> Source:
        """The body with the arguments in it, a text that knows where it comes from."""
        text = substitute(self.body, given, count)
        why = f"in macro {self.name}, expanded here"
        return Source(self.source, text, call, why, self.line)


def substitute(body: str, given: Mapping[str, str], count: int | None) -> str:
    r"""Put arguments into a body; `\@` stays where there is no count.

    >>> substitute(r"\a\()_\b: \hdr.x \c", {"a": "1", "b": "2", "hdr": "ip"}, 0)
    '1_2: ip.x \\c'
    """

    def replace(match: re.Match[str]) -> str:
        at, nothing, name, end = match.groups()
        if at is not None:
            return match.group() if count is None else str(count)
        if nothing is not None:
            return ""
        part = name
        while part not in given and "." in part:
            part = part.rpartition(".")[0]
        if part not in given:
            return match.group()
        left = name[len(part) :]
        return given[part] + left + (end or "" if left else "")

    return _REFERENCE.sub(replace, body) if "\\" in body else body


def unknown_reference(text: str, place: Span, macro: Macro) -> Diagnostic | None:
    r"""Complain of a `\name` that is left after the arguments were put in; None without one."""
    bare = _STRINGS.sub(lambda match: " " * len(match.group()), text)
    match = _REFERENCE.search(bare)
    at = bare.find("\\")
    if at < 0:
        return None
    if match is None or match[3] is None:
        span = Span(place.source, place.start + at, place.start + at + 1)
        return error("asm-macro", "a backslash stands before a parameter's name", span)
    span = Span(place.source, place.start + match.start(), place.start + match.end(3))
    message = f"macro {macro.name} has no parameter {match[3]}"
    names = [parameter.name for parameter in macro.parameters]
    return error("asm-macro", message, span, hint=did_you_mean(match[3], names))


# Definitions ----------------------------------------------------------------------------------


def head(text: str, place: Span) -> tuple[str, tuple[Parameter, ...]]:
    """Read what stands behind `.macro`: a name and parameters. Raises Misused."""
    text = text.strip()
    match = _NAME.match(text)
    if match is None:
        raise Misused("a macro needs a name", place, USAGE)
    name, at = match.group(), match.end()
    found: dict[str, Parameter] = {}
    while at < len(text):
        at = _separator(text, at)
        parameter, at = _parameter(text, at, place)
        if parameter.name in found:
            raise Misused(f"macro {name} has two parameters {parameter.name}", place)
        if any(each.vararg for each in found.values()):
            raise Misused("nothing can follow a vararg parameter", place, USAGE)
        found[parameter.name] = parameter
    return name, tuple(found.values())


_SEPARATOR = re.compile(r"\s*(?:,\s*)?")


def _separator(text: str, at: int) -> int:
    match = _SEPARATOR.match(text, at)
    assert match is not None
    return match.end()


def _parameter(text: str, at: int, place: Span) -> tuple[Parameter, int]:
    match = _PARAMETER.match(text, at)
    if match is None:
        left = text[at:].strip() or "nothing"
        raise Misused(f"{left!r} is no parameter", place, USAGE)
    name, qualifier, equal = match.groups()
    if qualifier not in (None, "req", "vararg"):
        raise Misused(f"{qualifier} says nothing about a parameter", place, USAGE)
    at, default = match.end(), ""
    if equal is not None:
        default, at = _argument(text, at, place)
    return Parameter(name, default, qualifier == "req", qualifier == "vararg"), at


# Calls ----------------------------------------------------------------------------------------


def arguments(macro: Macro, text: str, place: Span) -> dict[str, str]:
    """Read what a call gives: by parameter, defaults where nothing is. Raises Misused."""
    here = Note(f"macro {macro.name} is defined here", macro.span)
    given: dict[str, str] = {}
    by_place = 0
    text = text.strip()
    at = 0
    while at < len(text):
        keyword = _KEYWORD.match(text, at)
        if keyword is not None:
            parameter, at = _named(macro, keyword[1], place, here), keyword.end()
        elif given and not by_place:
            raise Misused("an argument by place stands behind one by name", place, None, here)
        else:
            if by_place == len(macro.parameters):
                takes = _count(len(macro.parameters))
                raise Misused(f"macro {macro.name} takes {takes} and no more", place, None, here)
            parameter = macro.parameters[by_place]
            by_place += 1
        if parameter.vararg:
            value, at = text[at:].strip(), len(text)
        else:
            value, at = _argument(text, at, place)
        if value:
            given[parameter.name] = value
        at = _separator(text, at)
    return {each.name: _value(macro, each, given, place, here) for each in macro.parameters}


def _named(macro: Macro, name: str, place: Span, here: Note) -> Parameter:
    found = next((each for each in macro.parameters if each.name == name), None)
    if found is None:
        hint = did_you_mean(name, [each.name for each in macro.parameters])
        raise Misused(f"macro {macro.name} has no parameter {name}", place, hint, here)
    return found


def _value(
    macro: Macro, parameter: Parameter, given: Mapping[str, str], place: Span, here: Note
) -> str:
    if parameter.name in given:
        return given[parameter.name]
    if parameter.required:
        raise Misused(f"macro {macro.name} needs {parameter.name}", place, None, here)
    return parameter.default


def _count(number: int) -> str:
    return {0: "no arguments", 1: "1 argument"}.get(number, f"{number} arguments")


def values(text: str, place: Span) -> list[str]:
    """Read a list of arguments, as `.irp` has them. Raises Misused."""
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        value, at = _argument(text, at, place)
        found.append(value)
        at = _separator(text, at)
    return found


def _argument(text: str, at: int, place: Span) -> tuple[str, int]:
    """One argument from `at` on, and where it ends: at a comma, or at a blank.

    Blanks in parentheses and around operators do not end it.
    """
    pieces: list[str] = []
    depth, after_operator = 0, True
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None
        token, kind = match.group(), match.lastgroup
        if depth == 0 and token == ",":
            break
        if depth == 0 and kind == "space":
            following = _TOKEN.match(text, match.end())
            goes_on = following is not None and following.lastgroup == "operator"
            if not (goes_on or after_operator):
                break
        else:
            depth += {"(": 1, ")": -1 if depth else 0}.get(token, 0)
            pieces.append(token[1:-1] if kind == "string" else token)
            after_operator = kind == "operator" and depth == 0
        at = match.end()
    if depth:
        raise Misused("a parenthesis in this argument is never closed", place)
    return "".join(pieces), at
