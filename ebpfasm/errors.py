"""What a user's mistake looks like: a place, a sentence, a stable code, and how to mend it.

Every room reports through these values and no room prints. The exception tree::

    EbpfError                 carries .diagnostics; str() renders them all
      AsmError                text that is not assembly
      DslError                a builder used wrongly
      ElfError                an object file that cannot be read
      BtfError                type information that cannot be read or written
      LinkError               names that do not resolve, jumps that do not reach
      DecodeError             bytes that are not instructions
      EncodeError             values that do not fit their field
      VerifyError             a program that would misbehave
      VmError                 what the virtual machine stopped, or cannot run
      LoadError               what the kernel refused: .errno and .log
      NotSupported            what this kernel or this build lacks: .feature and .since
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from typing import Literal

from ebpfasm.codes import CODES as CODES
from ebpfasm.frozen import dataclass

Severity = Literal["error", "warning"]

_LONGEST_LINE = 240  # characters of a line that are shown
_MOST_ORIGINS = 6  # macros and includes shown below a diagnostic; a runaway one has many


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text and the name to call it by. Two sources are equal only if they are the same one.

    `origin` is the place that led to this text, and `why` says how: "included here". A text made
    from lines of a file, as a macro's is, has that file's name, and `first_line` is where in it
    the text begins: places in it are real ones.
    """

    name: str
    text: str = field(repr=False)
    origin: Location | None = field(default=None, repr=False)
    why: str = ""
    first_line: int = 1
    _starts: list[int] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def decoded(
        cls, name: str, content: bytes, origin: Location | None = None, why: str = ""
    ) -> Source:
        """Read a file's bytes as UTF-8. Raises EbpfError at the first byte that is not."""
        try:
            return cls(name, content.decode("utf-8"), origin, why)
        except UnicodeDecodeError as problem:
            # Show the readable part; replaced bytes stay one character each, so columns hold.
            before = content[: problem.start].decode("utf-8")
            rest = content[problem.start :].decode("ascii", "replace")
            span = Span(cls(name, before + rest, origin, why), len(before), len(before) + 1)
            message = f"byte {content[problem.start]:#04x} is not UTF-8 text"
            hint = "save the file as UTF-8"
            raise EbpfError(error("file-encoding", message, span, hint=hint)) from None

    def _line_starts(self) -> list[int]:
        if not self._starts:
            self._starts.append(0)
            position = self.text.find("\n")
            while position != -1:
                self._starts.append(position + 1)
                position = self.text.find("\n", position + 1)
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character offset."""
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return line + self.first_line - 1, offset - starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """The text of a line, counted as `position` does, without its line end; else empty."""
        starts = self._line_starts()
        line -= self.first_line - 1
        if not 1 <= line <= len(starts):
            return ""
        end = starts[line] if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : end].rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters start to end (exclusive) of a source held in memory."""

    source: Source
    start: int
    end: int

    @property
    def name(self) -> str:
        """The source's name, usually a file path."""
        return self.source.name

    @property
    def line(self) -> int:
        """Line of the first character, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, from 1."""
        return self.source.position(self.start)[1]

    @property
    def width(self) -> int:
        """Characters to underline: those on the first line, at least one."""
        rest = len(self.line_text) - self.column + 1
        return max(1, min(self.end - self.start, rest))

    @property
    def line_text(self) -> str:
        """The whole first line."""
        return self.source.line_text(self.line)


@dataclass(frozen=True, slots=True)
class LineSpan:
    """A line of a file that is not held: what a Python frame or BTF line info knows.

    `text` is the line if it is known; for Python files it is fetched when first shown.
    `column` is 0 where it is not known.
    """

    name: str
    line: int
    column: int = 0
    text: str | None = None

    @property
    def width(self) -> int:
        """Characters to underline: the whole line, without its indent."""
        return max(1, len(self.line_text.strip()))

    @property
    def line_text(self) -> str:
        """The line's text, empty where it cannot be had."""
        if self.text is not None:
            return self.text
        import linecache

        return linecache.getline(self.name, self.line).rstrip("\n")


Location = Span | LineSpan


@dataclass(frozen=True, slots=True)
class Note:
    """A remark that belongs to a diagnostic, with a place of its own if it has one."""

    message: str
    span: Location | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong: where, what, and how to mend it.

    >>> source = Source("drop.s", "r0 += r3")
    >>> print(error("asm-symbol", "no such name", Span(source, 6, 8), hint="did you mean r0?"))
    drop.s:1:7: error[asm-symbol]: no such name
       1 | r0 += r3
         |       ^^
       hint: did you mean r0?
    """

    severity: Severity
    code: str
    message: str
    span: Location | None = None
    notes: tuple[Note, ...] = ()
    hint: str | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is not in errors.CODES")

    def __str__(self) -> str:
        lines = [f"{_place(self.span)}{self.severity}[{self.code}]: {self.message}"]
        lines += _excerpt(self.span)
        for note in (*self.notes, *_origins(self.span)):
            place = _place(note.span) if note.span is not None else ""
            lines.append(f"   note: {place}{note.message}")
            lines += _excerpt(note.span)
        if self.hint is not None:
            lines.append(f"   hint: {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The same as plain values, for --json."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            **_place_as_dict(self.span),
            "notes": [note.message for note in self.notes],
            "hint": self.hint,
            "origins": [
                {"message": note.message, **_place_as_dict(note.span)}
                for note in _origins(self.span)
            ],
        }


def error(
    code: str,
    message: str,
    span: Location | None = None,
    *,
    notes: tuple[Note, ...] = (),
    hint: str | None = None,
) -> Diagnostic:
    """Make a Diagnostic of severity error."""
    return Diagnostic("error", code, message, span, notes, hint)


def origins(span: Location | None) -> list[Location]:
    """The places that led to a place, from the nearest on: calls of macros, includes."""
    found: list[Location] = []
    while isinstance(span, Span) and span.source.origin is not None:
        span = span.source.origin
        found.append(span)
    return found


def _origins(span: Location | None) -> list[Note]:
    notes = []
    for origin in origins(span):
        assert isinstance(span, Span)
        notes.append(Note(span.source.why, origin))
        span = origin
    if len(notes) <= _MOST_ORIGINS:
        return notes
    half = _MOST_ORIGINS // 2
    left_out = Note(f"and {len(notes) - 2 * half} places more between these")
    return [*notes[:half], left_out, *notes[-half:]]


def _place_as_dict(span: Location | None) -> dict[str, object]:
    if span is None:
        return {}
    return {"file": span.name, "line": span.line, "column": span.column}


def _place(span: Location | None) -> str:
    if span is None:
        return ""
    column = f":{span.column}" if span.column else ""
    return f"{span.name}:{span.line}{column}: "


def _excerpt(span: Location | None) -> list[str]:
    """Show the line and underline the place. Tabs are kept, so that the carets stay below."""
    if span is None or not span.line_text.strip():
        return []
    text, width = span.line_text, span.width
    column = span.column or len(text) - len(text.lstrip()) + 1
    if len(text) > _LONGEST_LINE:
        text, column, width = _clipped(text, column, width)
    number = f"{span.line:>4}"
    blank = "".join("\t" if char == "\t" else " " for char in text[: column - 1])
    return [f"{number} | {text}", f"{' ' * len(number)} | {blank}{'^' * width}"]


def _clipped(text: str, column: int, width: int) -> tuple[str, int, int]:
    """The part of a long line around a column."""
    start = max(0, column - 1 - _LONGEST_LINE // 3)
    end = start + _LONGEST_LINE
    before, behind = "..." if start else "", "..." if end < len(text) else ""
    shown = before + text[start:end] + behind
    place = column - start + len(before)
    return shown, place, min(width, len(shown) - place + 1)


class EbpfError(Exception):
    """Whatever ebpfasm reports to a user. `diagnostics` is never empty."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return "\n".join(str(diagnostic) for diagnostic in self.diagnostics)


class AsmError(EbpfError):
    """The text is not assembly."""


class DslError(EbpfError):
    """A builder was used wrongly."""


class ElfError(EbpfError):
    """An object file cannot be read."""


class BtfError(EbpfError):
    """Type information cannot be read or written."""


class LinkError(EbpfError):
    """A name does not resolve or a jump does not reach."""


class DecodeError(EbpfError):
    """Bytes are not instructions."""


class EncodeError(EbpfError):
    """A value does not fit its field."""


class VerifyError(EbpfError):
    """A program would misbehave."""


class VmError(EbpfError):
    """The virtual machine stopped a program, or was given what it cannot run."""


class LoadError(EbpfError):
    """The kernel refused a program, map or attachment.

    `errno` is the system call's error number; `log` the verifier's whole log, empty if none.
    """

    def __init__(self, *diagnostics: Diagnostic, errno: int = 0, log: str = "") -> None:
        super().__init__(*diagnostics)
        self.errno = errno
        self.log = log


class NotSupported(EbpfError):
    """This kernel, machine or version lacks a feature.

    `since` is the kernel version that has it, empty if that is not the reason.
    """

    def __init__(self, *diagnostics: Diagnostic, feature: str = "", since: str = "") -> None:
        super().__init__(*diagnostics)
        self.feature = feature
        self.since = since


def unsupported(
    feature: str, since: str = "", *, span: Location | None = None, hint: str | None = None
) -> NotSupported:
    """Build a NotSupported whose sentence says what is lacking and since when it exists."""
    when = f" (Linux {since} has it)" if since else ""
    message = f"{feature} is not supported here{when}"
    return NotSupported(
        error("not-supported", message, span, hint=hint), feature=feature, since=since
    )
