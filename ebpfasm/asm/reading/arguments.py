"""The arguments of directives that carry data, taken one after the other from the text.

Strings, symbols, `@flags` and expressions as LLVM's assembler writes them. A compiler's file
consists mostly of such lines, so they are read by one regular expression and not by the grammar
of instructions; operators bind as `ebpfasm.asm.reading.expressions` says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ebpfasm.asm.reading.expressions import Expression, Literal, Name, TooLong, TreeReader
from ebpfasm.errors import Diagnostic, Source, Span, error

_TOKENS = re.compile(
    r"""
      (?P<STRING>"(?:\\.|[^"\\\n])*")
    | (?P<NUMBER>0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)(?![\w.$@])
    | (?P<CHAR>'(?:\\.|[^'\\\n])')
    | (?P<NAME>[A-Za-z_.$][\w.$]*(?:@[\w.$@]*)?|[0-9]+[bf](?![\w.$@]))
    | (?P<FLAG>@[A-Za-z_]\w*)
    | (?P<SIGN>[+-])
    | (?P<PREFIX>~|!(?!=))
    | (?P<OPERATOR><<|>>|<=|>=|<>|==|!=|&&|\|\||[*/%|&^<>])
    | (?P<PARENTHESIS>[()])
    | (?P<COMMA>,)
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"[ \t\r\f\v]*")
_SECTION_NAME = re.compile(r"[^\s,\"]+")
_ESCAPE = re.compile(r"\\(?:([xX])([0-9a-fA-F]+)|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPES = {"b": 8, "f": 12, "n": 10, "r": 13, "t": 9, '"': 34, "\\": 92}
_CHARACTERS = {**_ESCAPES, "'": 39, "0": 0, "a": 7}


class Misread(Exception):
    """The arguments are not what the directive takes; the diagnostic says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic


class Token(str):
    """A piece of the text: what kind it is, and where it begins and ends."""

    __slots__ = ("end_pos", "start_pos", "type")

    def __new__(cls, kind: str, text: str, start: int, end: int | None = None) -> Self:
        """Make one; it ends where its text does, if nothing else is said."""
        made = super().__new__(cls, text)
        made.type, made.start_pos = kind, start
        made.end_pos = start + len(text) if end is None else end
        return made

    type: str
    start_pos: int
    end_pos: int


@dataclass(slots=True)
class _Group:
    """What stands in parentheses."""

    children: list[object]


class Arguments:
    """The text behind a directive's word, and how far it is read. Methods raise Misread."""

    def __init__(self, source: Source, text: str, start: int, usage: str) -> None:
        self._source = source
        self._text = text
        self._start = start
        self._usage = usage
        self._at = 0
        self._plain = 0, 0
        self._trees = TreeReader(self._literal, self._span)
        self._skip()

    # Where we are ----------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._text)

    @property
    def rest(self) -> Span:
        """The place of what is left, or of the last character where nothing is."""
        end = len(self._text)
        begin = min(self._at, end - 1)
        return Span(self._source, self._start + begin, self._start + max(end, begin + 1))

    def problem(self, message: str, span: Span | None = None) -> Misread:
        """A complaint with the hint that shows how the directive is written."""
        return Misread(error("asm-directive", message, span or self.rest, hint=self._usage))

    def finish(self) -> None:
        """Nothing may be left."""
        if not self.done:
            left = self._text[self._at :]
            raise self.problem(f"{left!r} cannot stand here")

    def pass_rest(self) -> None:
        """Whatever is left has no use here."""
        self._at = len(self._text)

    def comma(self) -> bool:
        """Pass a comma; False at the end."""
        if self.done:
            return False
        if self._text[self._at] != ",":
            raise self.problem(f"{self._text[self._at :]!r} cannot stand here: a comma can")
        self._at += 1
        self._skip()
        if self.done:
            raise self.problem("something is missing behind the comma")
        return True

    def empty(self) -> bool:
        """Whether the argument is left out: another comma comes next."""
        return self._text.startswith(",", self._at)

    # What can stand there --------------------------------------------------------------------

    def symbol(self) -> Name:
        """A symbol's name, bare or in quotes."""
        token = self._next("a name")
        if token.type == "STRING":
            return Name(self._decoded(token).decode("utf-8", "surrogateescape"), self._span(token))
        if token.type != "NAME":
            raise self.problem(f"{str(token)!r} is no name", self._span(token))
        return Name(str(token), self._span(token))

    def string(self) -> bytes:
        """The bytes of a string; strings side by side are one."""
        token = self._next("a string")
        if token.type != "STRING":
            raise self.problem(f"{str(token)!r} is no string", self._span(token))
        value = self._decoded(token)
        while not self.done and self._text[self._at] == '"':
            value += self._decoded(self._next("a string"))
        return value

    def at_string(self) -> bool:
        """Whether a string comes next."""
        return self._text.startswith('"', self._at)

    def flag(self) -> str:
        """What is written `@progbits`, `%progbits`, `"progbits"` or bare; without the sign."""
        if self._text.startswith("%", self._at):
            self._at += 1
            return self.symbol().text
        token = self._next("a type")
        if token.type == "STRING":
            return self._decoded(token).decode("utf-8", "surrogateescape")
        if token.type not in ("FLAG", "NAME", "NUMBER"):
            raise self.problem(f"{str(token)!r} is no type", self._span(token))
        return str(token).removeprefix("@")

    def section_name(self) -> str:
        """A section's name: in quotes, or everything to the comma or blank."""
        if self.at_string():
            return self.string().decode("utf-8", "surrogateescape")
        match = _SECTION_NAME.match(self._text, self._at)
        if match is None:
            raise self.problem("the section's name is missing")
        self._at = match.end()
        self._skip()
        return match.group()

    def real(self) -> float:
        """A floating-point number, or inf or nan."""
        match = _REAL.match(self._text, self._at)
        if match is None:
            raise self.problem("a floating-point number is missing")
        self._at = match.end()
        return float(match[1])

    def expression(self) -> Expression:
        """An expression to the next comma or the end."""
        items = self._group(top=True)
        try:
            return self._trees.read(items)
        except TooLong:
            raise self.problem("this expression is too long") from None

    def plain(self) -> int | None:
        """A decimal number that is a whole argument: what compilers write most of the time.

        `plain_span` is its place then.
        """
        match = _PLAIN.match(self._text, self._at)
        if match is None:
            return None
        self._plain = match.span(1)
        self._at = match.end()
        return int(match[1])

    @property
    def plain_span(self) -> Span:
        """Where the last plain number stands."""
        begin, end = self._plain
        return Span(self._source, self._start + begin, self._start + end)

    # Tokens ----------------------------------------------------------------------------------

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _next(self, what: str) -> Token:
        if self.done:
            raise self.problem(f"{what} is missing")
        match = _TOKENS.match(self._text, self._at)
        if match is None:
            unclosed = self.at_string()
            if unclosed:
                message = "this string is never closed"
            else:
                message = f"{self._text[self._at]!r} cannot stand here: {what} can"
            raise self.problem(message)
        assert match.lastgroup is not None
        token = Token(match.lastgroup, match.group(), self._at)
        self._at = match.end()
        self._skip()
        return token

    def _group(self, *, top: bool) -> list[object]:
        """Tokens of an expression, flat but for parentheses; operands and operators in turn.

        A loop with a stack of its own: text may nest as deep as it likes, and is refused then.
        """
        groups: list[list[object]] = [[]]
        operand = False  # whether the last thing can stand before an operator
        while not self.done and not (self._text[self._at] == "," and len(groups) == 1):
            token = self._next("a number or a name")
            if token == "(" and not operand:
                groups.append([])
            elif token == ")" and operand and len(groups) > 1:
                groups[-2].append(_Group(groups.pop()))
            elif token.type in ("SIGN", "PREFIX", "OPERATOR"):
                if token.type == ("PREFIX" if operand else "OPERATOR"):
                    raise self._misplaced(token)
                groups[-1].append(token)
                operand = False
            elif token.type in ("NAME", "NUMBER", "CHAR", "STRING") and not operand:
                groups[-1].append(self._operand(token))
                operand = True
            else:
                raise self._misplaced(token)
        if not operand or len(groups) > 1:
            raise self.problem("the expression is not finished")
        return groups[0]

    def _operand(self, token: Token) -> Token:
        if token.type != "STRING":
            return token
        name = self._decoded(token).decode("utf-8", "surrogateescape")
        return Token("NAME", name, token.start_pos, token.end_pos)

    def _misplaced(self, token: Token) -> Misread:
        return self.problem(f"{str(token)!r} cannot stand here", self._span(token))

    def _span(self, token: Token) -> Span:
        return Span(self._source, self._start + token.start_pos, self._start + token.end_pos)

    def _literal(self, token: Token) -> int:
        text = str(token)
        try:
            if token.type == "CHAR":
                return _character(text)
            if len(text) > 1 and text[0] == "0" and text[1].isdigit():
                return int(text, 8)
            return int(text, 0)
        except ValueError:
            span = self._span(token)
            hint = "a leading 0 makes a number octal"
            raise Misread(
                error("asm-number", f"{text[:32]} is not a number", span, hint=hint)
            ) from None

    def _decoded(self, token: Token) -> bytes:
        inner = token[1:-1]
        if "\\" not in inner:
            return inner.encode("utf-8", "surrogateescape")
        chunks: list[bytes] = []
        end = 0
        for match in _ESCAPE.finditer(inner):
            chunks.append(inner[end : match.start()].encode("utf-8", "surrogateescape"))
            chunks.append(self._escape(match, token))
            end = match.end()
        chunks.append(inner[end:].encode("utf-8", "surrogateescape"))
        return b"".join(chunks)

    def _escape(self, match: re.Match[str], token: Token) -> bytes:
        _, hexadecimal, octal, character = match.groups()
        if hexadecimal is not None:
            return bytes([int(hexadecimal[-2:], 16)])
        value = int(octal, 8) if octal is not None else _ESCAPES.get(character, 256)
        if value > 255:
            begin = self._start + token.start_pos + 1 + match.start()
            span = Span(self._source, begin, begin + len(match.group()))
            message = f"{match.group()} is no escape"
            hint = r"escapes are \b \f \n \r \t \\ \", \ooo up to \377 and \xhh"
            raise Misread(error("asm-directive", message, span, hint=hint))
        return bytes([value])


_PLAIN = re.compile(r"(-?[1-9][0-9]{0,18}|0)(?=[ \t]*(?:,|$))[ \t]*")

_REAL = re.compile(
    r"([+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan))"
    r"(?=[ \t]*(?:,|$))[ \t]*",
    re.IGNORECASE,
)


def _character(text: str) -> int:
    inner = text[1:-1]
    if not inner.startswith("\\"):
        return ord(inner)
    if inner[1] not in _CHARACTERS:
        raise ValueError(text)
    return _CHARACTERS[inner[1]]


__all__ = ["Arguments", "Expression", "Literal", "Misread", "Name"]
