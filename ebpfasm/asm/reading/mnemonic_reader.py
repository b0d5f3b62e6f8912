"""Statements of the mnemonic dialect: a word, then operands.

The word and the kinds of the operands say which row of the table is meant; what each operand
is to that row is said by the form's mnemonic syntax, the same that the printer fills in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from lark import Token, UnexpectedInput

from ebpfasm.asm.reading import lines
from ebpfasm.asm.reading.explain import cannot_stand, unknown_word
from ebpfasm.asm.reading.operands import Node, Number, Register
from ebpfasm.asm.reading.reader import StatementReader
from ebpfasm.asm.reading.statements import Operation, Role, Statement, Symbol
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Source, Span, error
from ebpfasm.isa.codec import REGISTERS
from ebpfasm.isa.forms import Form, Kind
from ebpfasm.isa.mnemonics import SIZED, SIZED_WORDS, WORDS, rows_of
from ebpfasm.isa.table import InstructionSpec

# What an operand is -> what the grammar may have found there.
_TAKES: dict[str, tuple[str, ...]] = {
    "{dst}": ("register",),
    "{src}": ("register",),
    "[{base}{mem}]": ("place",),
    "{to}": ("expression", "local"),
}
_NUMBER = ("expression",)
# How an operand is called in a message, and in a line of usage.
_CALLED = {
    "{dst}": "a register",
    "{src}": "a register",
    "[{base}{mem}]": "an address such as [%r1+8]",
    "{to}": "a label or a distance such as +3",
}
_SHOWN = {
    "{dst}": "DST",
    "{src}": "SRC",
    "[{base}{mem}]": "[BASE+OFFSET]",
    "{to}": "TARGET",
    "{imm}": "NUMBER",
    "{off}": "MODULE",
    "{as_dst}": "TO",
    "{as_src}": "FROM",
}
_NUMBERS_MEAN = {
    Form.CALL_HELPER: "the helper's number",
    Form.CALL_KFUNC: "the BTF id",
    Form.LOAD_ABS: "the index",
    Form.LOAD_IND: "the index",
}

_DECIMAL = re.compile(r"[0-9]+")
_FIRST_WORD = re.compile(r"(?:[\w.$@]+\s*:\s*)*([\w.$@]+|\S)")
_BEHIND = re.compile(r"[^\S\n]*;([^\n]*)")


@cache
def operands_of(form: Form) -> tuple[str, ...]:
    """A form's operands in order, as its mnemonic syntax writes each."""
    return tuple(form.mnemonic_syntax.split(", ")) if form.mnemonic_syntax else ()


class MnemonicReader(StatementReader):
    """Reads the statements of one source in the mnemonic dialect."""

    start = "start_mnemonic"
    manner = lines.MNEMONIC
    exit_label = True

    def read(self, place: Span, text: str) -> list[Statement]:
        """Like StatementReader's; an instruction behind `;`, a comment here, is refused."""
        found = super().read(place, text)
        if found and isinstance(found[-1], Operation):
            self._comment_behind(place)
        return found

    def _comment_behind(self, place: Span) -> None:
        # ubpf and LLVM end a statement at `;`: nobody's instruction may vanish without a word.
        match = _BEHIND.match(place.source.text, place.end)
        if match is None or (text := _instruction_in(match[1])) is None:
            return
        start = match.start(1) + match[1].index(text)
        self._problem(
            "asm-syntax",
            f"{text!r} stands behind ; and would be a comment in this dialect",
            Span(place.source, start, start + len(text)),
            "give the instruction a line of its own, or begin the comment with #",
        )

    def _explain(self, problem: UnexpectedInput, place: Span, text: str) -> Diagnostic:
        match = _FIRST_WORD.match(text)
        if match is not None and not match[1].startswith(".") and not _begins(match[1]):
            start = place.start + match.start(1)
            return _no_mnemonic(match[1], Span(place.source, start, start + len(match[1])))
        found = cannot_stand(problem, place, text)
        if found.code != "asm-trailing" or not isinstance(found.span, Span):
            return found
        rest = text[found.span.start - place.start :]
        return error("asm-syntax", f"a comma is missing before {rest!r}", found.span)

    def register(self, node: Node) -> Register:
        """A register, with or without %; %fp is r10. Its width is the instruction's affair."""
        (token,) = node.children
        name, span = token.lower().lstrip("%"), self._span(token)
        digits = str(REGISTERS - 1) if name == "fp" else name[1:]
        number = int(digits) if len(digits) < 4 else REGISTERS
        if name[0] == "w":
            hint = f"write %r{digits}; the mnemonic says how many bits are meant"
            self._problem("asm-register", f"{token} is no register of this dialect", span, hint)
            number = 0
        elif number >= REGISTERS:
            hint = "registers are %r0 to %r10"
            self._problem("asm-register", f"there is no register {token}", span, hint)
            number = 0
        return Register(number, False, span)

    # Which row it is -------------------------------------------------------------------------

    def _instruction(self, word: Token, *nodes: Node | None) -> Operation | None:
        given = [node for node in nodes if node is not None]
        mnemonic = " ".join(word.lower().split())
        if mnemonic in SIZED_WORDS:
            mnemonic = self._sized(mnemonic, word, given)
        elif not rows_of(mnemonic):
            self.wrong.append(_no_mnemonic(mnemonic, self._span(word)))
            return None
        spec = self._row(rows_of(mnemonic), word, given)
        return self._operation(spec, given) if spec is not None else None

    def _sized(self, mnemonic: str, word: Token, given: list[Node]) -> str:
        """GNU's `endbe %r1, 16`: the last operand belongs to the mnemonic. Empty if it is wrong."""
        size = self.number(given.pop()) if given and given[-1].data == "expression" else None
        printed = SIZED.get((mnemonic, size.value)) if size is not None else None
        if printed is None:
            *sizes, last = (str(bits) for name, bits in SIZED if name == mnemonic)
            span = size.span if size is not None else self._span(word)
            self._problem(
                "asm-operand",
                f"{mnemonic} needs a size of {', '.join(sizes)} or {last} at the end",
                span,
            )
        return printed or ""

    def _row(
        self, rows: Sequence[InstructionSpec], word: Token, given: list[Node]
    ) -> InstructionSpec | None:
        fitting = [spec for spec in rows if _count_fits(spec.form, len(given))]
        if rows and not fitting:
            counts = sorted({len(operands_of(spec.form)) for spec in rows})
            message = f"{word} takes {_operands_text(counts)}, not {len(given)}"
            self._problem("asm-operand", message, self._span(word), _usage(rows, word))
        for position, node in enumerate(given):
            left = [spec for spec in fitting if node.data in _takes(spec, position)]
            if fitting and not left:
                self._misplaced(fitting, position, node, word)
            fitting = left
        return fitting[0] if fitting else None

    def _misplaced(
        self, rows: Sequence[InstructionSpec], position: int, node: Node, word: Token
    ) -> None:
        start, end = (self._base + place for place in (node.meta.start_pos, node.meta.end_pos))
        span = Span(self.source, start, end)
        text = self.source.text[start:end]
        slots = {operands_of(spec.form)[position] for spec in rows}
        kinds = " or ".join(sorted({_CALLED.get(slot, "a number") for slot in slots}))
        message = f"{text} stands where {word} takes {kinds}"
        self._problem("asm-operand", message, span, _usage(rows, word))

    # What its operands are -------------------------------------------------------------------

    def _operation(self, spec: InstructionSpec, given: list[Node]) -> Operation:
        if spec.form is Form.LOAD_IMM64:
            return self._load_imm64(*given)
        if spec.form is Form.CAST:
            return self._cast(*given)
        fields = dict.fromkeys(("dst", "src", "off", "imm"), 0)
        symbol: Symbol | None = None
        for slot, node in zip(operands_of(spec.form), given, strict=False):
            match slot:
                case "{dst}" | "{src}":
                    fields[slot[1:-1]] = self.register(node).number
                case "{imm}":
                    symbol = self._callee(node) if spec.form is Form.CALL_HELPER else None
                    fields["imm"] = self._immediate(spec, node) if symbol is None else 0
                case "{off}":
                    fields["off"] = self._fit("off", self.number(node), "the module's index")
                case "{to}":
                    field, kind = _target_field(spec.form)
                    fields[field], symbol = self._label_or_distance(spec, node, kind)
                case _:
                    base, offset = node.children
                    fields[spec.form.base] = self.register(base).number
                    fields["off"] = self._fit("off", self._offset(offset), "the offset")
        return Operation(spec, self._whole, **fields, symbol=symbol)

    def _callee(self, node: Node) -> Symbol | None:
        name = _only_name(node)
        if name is None or self.names.find(name) is not None:
            return None
        return Symbol(Role.CALLEE, str(name), self._span(name))

    def _label_or_distance(
        self, spec: InstructionSpec, node: Node, kind: Kind
    ) -> tuple[int, Symbol | None]:
        if node.data == "local":
            return 0, self._local(node.children[0])
        name = _only_name(node)
        if name is not None:
            role = Role.FUNCTION if spec.form is Form.CALL_LOCAL else Role.TARGET
            return 0, Symbol(role, str(name), self._span(name))
        return self._fit(kind, self.number(node), "the distance"), None

    def _immediate(self, spec: InstructionSpec, node: Node) -> int:
        kind: Kind = "imm64" if spec.slots == 2 else "imm32"
        number = self.number(node)
        if kind == "imm32" and self._is_large_decimal(node, number):
            message = f"the immediate {number.value} is outside -2147483648 to 2147483647"
            hint = f"a number meant as unsigned is written in hexadecimal: {number.value:#x}"
            self._problem("asm-range", message, number.span, hint)
            return 0
        return self._fit(kind, number, _NUMBERS_MEAN.get(spec.form, "the immediate"))

    def _is_large_decimal(self, node: Node, number: Number) -> bool:
        # bpf_conformance: decimal numbers are signed, hexadecimal ones fill all 32 bits.
        token = node.children[0]
        decimal = isinstance(token, Token) and _DECIMAL.fullmatch(token) is not None
        return decimal and len(node.children) == 1 and 1 << 31 <= number.value < 1 << 32


def _only_name(node: Node) -> Token | None:
    """The name that an operand is, where it is nothing but a name."""
    (first, *rest) = node.children
    return first if not rest and isinstance(first, Token) and first.type == "NAME" else None


def _target_field(form: Form) -> tuple[str, Kind]:
    far = form.operand("imm")
    return ("imm", "imm32") if far is not None and far.kind == "target" else ("off", "off")


def _takes(spec: InstructionSpec, position: int) -> tuple[str, ...]:
    return _TAKES.get(operands_of(spec.form)[position], _NUMBER)


def _count_fits(form: Form, count: int) -> bool:
    # The module of a kernel function may be left out: 0, the kernel itself.
    most = len(operands_of(form))
    return most - (form is Form.CALL_KFUNC) <= count <= most


def _operands_text(counts: list[int]) -> str:
    if counts == [0]:
        return "no operands"
    return f"{' or '.join(map(str, counts))} operand{'s' if counts != [1] else ''}"


def _usage(rows: Sequence[InstructionSpec], word: Token) -> str:
    ways = dict.fromkeys(
        " ".join((str(word), ", ".join(_SHOWN[slot] for slot in operands_of(spec.form)))).rstrip()
        for spec in rows
    )
    return f"write {' or '.join(ways)}"


def _begins(word: str) -> bool:
    return word.lower() in _FIRST_WORDS


_FIRST_WORDS = frozenset(each.split()[0] for each in WORDS)


def _no_mnemonic(mnemonic: str, span: Span) -> Diagnostic:
    hint = did_you_mean(mnemonic, sorted(WORDS))
    if mnemonic == "lock":
        hint = "write lock add, or, and, xor, xchg or cmpxchg; fetch before the first four"
    elif re.fullmatch(r"[rRwW][0-9]+|if|goto|\*", mnemonic):
        hint = "this dialect writes a word first, as in mov %r1, 5 and ldxw %r1, [%r2+4]"
    if hint is None:
        return unknown_word(mnemonic, span)
    return error("asm-mnemonic", f"there is no instruction {mnemonic}", span, hint=hint)


def _instruction_in(comment: str) -> str | None:
    """The instruction that a comment's text reads as; None where it is just words."""
    inner = Source("", comment)
    for place, text in lines.statements(inner, [], lines.MNEMONIC):
        wrong: list[Diagnostic] = []
        found = MnemonicReader(inner, wrong).read(place, text)
        return text if found and not wrong and isinstance(found[-1], Operation) else None
    return None
