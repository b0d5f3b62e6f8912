"""From a statement's text to its value: the grammar says what stands where, this room's rows
say which instruction it is, and ranges, registers and widths are checked here."""

from __future__ import annotations

import zlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, UnexpectedInput

from ebpfasm.asm.reading import lines
from ebpfasm.asm.reading.explain import explain
from ebpfasm.asm.reading.expressions import Expression, evaluate, names, symbol_and_addend
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.operands import Node, Number, OperandReader, Register
from ebpfasm.asm.reading.raw import filling
from ebpfasm.asm.reading.recipes import cache_folder
from ebpfasm.asm.reading.statements import (
    Argument,
    Directive,
    LabelDefinition,
    Operation,
    Role,
    Statement,
    Symbol,
    Value,
    local_label,
)
from ebpfasm.errors import Diagnostic, Source, Span
from ebpfasm.isa.codec import fit
from ebpfasm.isa.forms import Form, Kind
from ebpfasm.isa.table import BY_NAME, BY_SHAPE, SYMBOLS, TABLE, InstructionSpec

# Operator text to operation: "+=" is add, or atomic_add behind lock.
_ALU = {text: op for op, text in SYMBOLS.items() if not op.startswith(("j", "atomic"))}
_COMPARE = {text: op for op, text in SYMBOLS.items() if op.startswith("j")}
_ATOMIC = {text: op for op, text in SYMBOLS.items() if op.startswith("atomic")}
_MOVSX = {(spec.width, spec.fixed_fields["off"]): spec for spec in TABLE if spec.form is Form.MOVSX}


@cache
def grammar(start: str = "start") -> Lark:
    """The parser of one statement in the dialect that a start rule stands for.

    Its tables take longer to make than most files take to read, so they are kept between runs.
    """
    text = (Path(__file__).parents[2] / "grammar.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        parser="lalr",
        start=start,
        maybe_placeholders=True,
        propagate_positions=True,
        cache=_tables(start, text),
    )


@lru_cache(maxsize=1 << 14)
def _parsed(start: str, text: str) -> Node:
    """A statement's tree. Programs repeat themselves, and macros and `.rept` more so."""
    return cast("Node", grammar(start).parse(text))


def _tables(start: str, grammar_text: str) -> str | bool:
    """The file that keeps the parser's tables; False where there is no place for one.

    Lark checks what it finds there against grammar, options and versions.
    """
    folder = cache_folder()
    if folder is None:
        return False
    # A name of its own for each grammar: two versions installed side by side do not take turns.
    return str(folder / f"{start}-{zlib.crc32(grammar_text.encode()):08x}")


LONGEST = 1 << 16  # characters of a statement that the grammar is asked about


class StatementReader(OperandReader):
    """Reads the statements of one source; what is wrong with them gathers in `wrong`."""

    start = "start"  # the grammar's rule
    manner = lines.LLVM
    exit_label = False
    # Whether to take what clang writes and LLVM's assembler does not: r1 = w7 for w1 = w7.
    compiled = False

    def __init__(self, source: Source, wrong: list[Diagnostic], names: Names | None = None) -> None:
        super().__init__(source, wrong, names)
        self._text = ""
        self._locals: dict[int, int] = {}  # how often each numeric label was defined so far

    def read(self, place: Span, text: str) -> list[Statement]:
        """Labels, then an operation or directive if there is one; none where it is wrong."""
        self.source, self._base, self._whole = place.source, place.start, place
        self._text = text
        directive = self._raw(place, text)
        if directive is not None:
            return directive
        if len(text) > LONGEST:
            self._problem("asm-limit", f"a statement of more than {LONGEST} characters", place)
            return []
        try:
            tree = _parsed(self.start, text)
        except UnexpectedInput as problem:
            self.wrong.append(self._explain(problem, place, text))
            return []
        *labels, body = tree.children
        found: list[Statement] = [self._label(label) for label in labels]
        if body is not None:
            begin = place.start + body.meta.start_pos
            self._whole = Span(self.source, begin, place.end)
            before = len(self.wrong)
            statement = getattr(self, f"_{body.data}")(*body.children)
            if len(self.wrong) == before:
                found.append(statement)
        return found

    def _explain(self, problem: UnexpectedInput, place: Span, text: str) -> Diagnostic:
        return explain(problem, place, text)

    def _raw(self, place: Span, text: str) -> list[Statement] | None:
        """Labels and a directive that fills a section; None where the grammar has to read on."""
        found = filling(place, text, self.names)
        if found is None:
            return None
        before, directive = found
        if not before:
            return [directive]
        span = Span(place.source, place.start, place.start + len(before))
        return [*self.read(span, before), directive]

    def _label(self, node: Node) -> LabelDefinition:
        (token,) = node.children
        if token.type != "DIGITS":
            return LabelDefinition(str(token), self._span(token))
        number = int(token)
        self._locals[number] = count = self._locals.get(number, 0) + 1
        return LabelDefinition(local_label(number, count), self._span(token), local=True)

    # Instructions ---------------------------------------------------------------------------

    def _alu(self, dst_node: Node, sign: Token, operand_node: Node) -> Operation:
        return self._arithmetic(dst_node, _ALU[str(sign)], operand_node)

    def _mov(self, dst_node: Node, operand_node: Node) -> Operation:
        return self._arithmetic(dst_node, "mov", operand_node)

    def _arithmetic(self, dst_node: Node, op: str, operand_node: Node) -> Operation:
        dst, operand = self.register(dst_node), self.operand(operand_node)
        width = 32 if dst.narrow else 64
        match operand:
            case Register():
                form = Form.MOV_REG if op == "mov" else Form.ALU_REG
                if self.compiled and op == "mov" and operand.narrow:
                    width = 32
                spec = BY_SHAPE[form, op, width]
                return Operation(spec, self._whole, dst.number, self._value(spec, operand))
            case Number():
                form = Form.MOV_IMM if op == "mov" else Form.ALU_IMM
                spec = BY_SHAPE[form, op, width]
                imm = self._fit("imm32", operand, "the immediate")
                return Operation(spec, self._whole, dst.number, imm=imm)

    def _neg(self, dst_node: Node, sign: Token, src_node: Node) -> Operation:
        dst = self.register(dst_node)
        if sign != "-":
            self._problem("asm-syntax", "a register takes no + sign", self._span(sign))
        self._same(dst, self.register(src_node), "negation")
        return Operation(
            BY_SHAPE[Form.NEG, "neg", 32 if dst.narrow else 64], self._whole, dst.number
        )

    def _swap(self, dst_node: Node, word: Token, src_node: Node) -> Operation:
        dst = self.register(dst_node)
        self._same(dst, self.register(src_node), str(word))
        spec = BY_NAME[str(word)]
        return Operation(spec, self._whole, self._value(spec, dst))

    def _movsx(self, dst_node: Node, type_token: Token, src_node: Node) -> Operation:
        dst, src = self.register(dst_node), self.register(src_node)
        width, bits = 32 if dst.narrow else 64, int(type_token[1:])
        spec = _MOVSX.get((width, bits)) if type_token[0] == "s" else None
        if spec is None:
            names = " or ".join(f"(s{each})" for wide, each in _MOVSX if wide == width)
            self._problem(
                "asm-operand",
                f"there is no ({type_token}) extension to {width} bits",
                self._span(type_token),
                f"use {names}",
            )
            return Operation(_MOVSX[64, 8], self._whole)
        return Operation(spec, self._whole, dst.number, self._value(spec, src))

    def _cast(self, dst_node: Node, src_node: Node, to: Node, of: Node) -> Operation:
        spec = BY_NAME["addr_space_cast"]
        spaces = []
        for number in (self.number(to), self.number(of)):
            if not 0 <= number.value <= 0xFFFF:
                self._problem(
                    "asm-range", f"address space {number.value} is outside 0 to 65535", number.span
                )
            spaces.append(number.value & 0xFFFF)
        dst, src = (self._value(spec, self.register(node)) for node in (dst_node, src_node))
        imm = fit("imm32", spaces[0] << 16 | spaces[1]) or 0
        return Operation(spec, self._whole, dst, src, imm=imm)

    def _load_imm64(self, dst_node: Node, node: Node) -> Operation:
        spec = BY_NAME["lddw"]
        dst = self._value(spec, self.register(dst_node))
        parts = symbol_and_addend(self.tree(node))
        if parts is None or self.names.find(parts[0].text) is not None:
            return Operation(spec, self._whole, dst, imm=self._imm64(node))
        name, tree = parts
        addend = 0
        if tree is not None:
            addend = evaluate(tree, self.names.meaning(self.wrong.append), self.wrong.append)
        symbol = Symbol(Role.ADDRESS, name.text, name.span, addend)
        return Operation(spec, self._whole, dst, symbol=symbol)

    def _imm64(self, node: Node) -> int:
        return self._fit("imm64", self.number(node), "the immediate")

    def _load_pseudo(self, dst_node: Node, kind: Node, number: Node) -> Operation:
        source = self.number(kind)
        rows = {spec.fixed_fields.get("src", 0): spec for spec in TABLE if spec.slots == 2}
        spec = rows.get(source.value)
        if spec is None:
            self._problem(
                "asm-range",
                f"ld_pseudo kind {source.value} is outside 0 to {max(rows)}",
                source.span,
            )
            spec = rows[0]
        imm = self._imm64(number)
        return Operation(spec, self._whole, self._value(spec, self.register(dst_node)), imm=imm)

    def _load(self, dst_node: Node, kind: Token, memory: Node) -> Operation:
        op = "ldxs" if kind[0] == "s" and kind != "s64" else "ldx"
        spec = self._memory(Form.LOAD, op, kind)
        base, offset = memory.children
        return Operation(
            spec,
            self._whole,
            self._either(spec, self.register(dst_node)),
            self._address(self.register(base)),
            self._fit("off", self._offset(offset), "the offset"),
        )

    def _load_packet(self, dst_node: Node, kind: Token, index: Node) -> Operation:
        dst = self.register(dst_node)
        if dst.number != 0:
            self._problem("asm-operand", "a packet load puts its result into r0", dst.span)
        first, *rest = index.children
        if first.data != "register":
            spec = self._memory(Form.LOAD_ABS, "ldabs", kind)
            imm = self._fit("imm32", self.number(first), "the index")
            return Operation(spec, self._whole, imm=imm)
        spec = self._memory(Form.LOAD_IND, "ldind", kind)
        offset = self._offset(rest[0]) if rest else None
        return Operation(
            spec,
            self._whole,
            src=self._address(self.register(first)),
            imm=self._fit("imm32", offset, "the index"),
        )

    def _store(self, kind: Token, memory: Node, operand_node: Node) -> Operation:
        operand = self.operand(operand_node)
        base, offset = memory.children
        dst = self._address(self.register(base))
        off = self._fit("off", self._offset(offset), "the offset")
        match operand:
            case Register():
                spec = self._memory(Form.STORE_REG, "stx", kind)
                return Operation(spec, self._whole, dst, self._either(spec, operand), off)
            case Number():
                spec = self._memory(Form.STORE_IMM, "st", kind)
                imm = self._fit("imm32", operand, "the immediate")
                return Operation(spec, self._whole, dst, 0, off, imm)

    def _atomic(self, kind: Token, memory: Node, sign: Token, src_node: Node) -> Operation:
        op = _ATOMIC.get(str(sign))
        if op is None:
            self._problem(
                "asm-operand",
                f"there is no atomic {sign}",
                self._span(sign),
                "use +=, |=, &= or ^=",
            )
            op = "atomic_add"
        spec = self._memory(Form.ATOMIC, op, kind)
        return self._on_memory(spec, memory.children, src_node)

    def _fetch(
        self, dst_node: Node, word: Token, kind: Token, memory: Node, src_node: Node
    ) -> Operation:
        spec = self._memory(Form.FETCH, str(word).replace("fetch_", ""), kind)
        self._same(self.register(dst_node), self.register(src_node), str(word))
        return self._on_memory(spec, memory.children, src_node)

    def _xchg(
        self, dst_node: Node, word: Token, base: Node, offset: Node | None, src_node: Node
    ) -> Operation:
        form, width = (Form.XCHG, 64) if word.endswith("_64") else (Form.XCHG32, 32)
        self._same(self.register(dst_node), self.register(src_node), str(word))
        return self._on_memory(BY_SHAPE[form, "xchg", width], [base, offset], src_node)

    def _cmpxchg(
        self,
        dst_node: Node,
        word: Token,
        base: Node,
        offset: Node | None,
        old: Node,
        src_node: Node,
    ) -> Operation:
        form, width = (Form.CMPXCHG, 64) if word.endswith("_64") else (Form.CMPXCHG32, 32)
        for register in (self.register(dst_node), self.register(old)):
            if register.number != 0:
                self._problem(
                    "asm-operand", f"{word} compares with and answers in r0", register.span
                )
        return self._on_memory(BY_SHAPE[form, "cmpxchg", width], [base, offset], src_node)

    def _load_acquire(self, dst_node: Node, kind: Token, memory: Node) -> Operation:
        spec = self._memory(Form.LOAD_ACQUIRE, "load_acquire", kind)
        base, offset = memory.children
        return Operation(
            spec,
            self._whole,
            self._either(spec, self.register(dst_node)),
            self._address(self.register(base)),
            self._fit("off", self._offset(offset), "the offset"),
        )

    def _store_release(self, kind: Token, memory: Node, src_node: Node) -> Operation:
        spec = self._memory(Form.STORE_RELEASE, "store_release", kind)
        return self._on_memory(spec, memory.children, src_node)

    def _on_memory(self, spec: InstructionSpec, place: list[Any], src_node: Node) -> Operation:
        base, offset = place
        return Operation(
            spec,
            self._whole,
            self._address(self.register(base)),
            self._either(spec, self.register(src_node)),
            self._fit("off", self._offset(offset), "the offset"),
        )

    # Jumps and calls -------------------------------------------------------------------------

    def _target(self, node: Node, kind: Kind) -> tuple[int, Symbol | None]:
        """A distance, or a label's name."""
        if node.data == "distance":
            return self._fit(kind, self.number(node.children[0]), "the distance"), None
        if node.data == "local":
            return 0, self._local(node.children[0])
        name, addend, _ = node.children
        if addend is not None:
            return self._from_pc(name, addend, kind), None
        return 0, Symbol(Role.TARGET, str(name), self._span(name))

    def _local(self, token: Token) -> Symbol:
        """`1b`, the last label 1 before here, or `1f`, the next one."""
        number, span = int(token[:-1]), self._span(token)
        count = self._locals.get(number, 0)
        if token[-1] == "b" and count == 0:
            message, hint = (
                f"there is no label {number} before this",
                f"write {number}f for one below",
            )
            self._problem("asm-label-undefined", message, span, hint)
        name = local_label(number, count if token[-1] == "b" else count + 1)
        return Symbol(Role.TARGET, name, span)

    def _from_pc(self, name: Token, addend: Node, kind: Kind) -> int:
        number = self._signed(*addend.children)
        if name != "pc":
            self._problem(
                "asm-operand",
                f"{name} takes no addend here",
                self._span(name),
                "only pc+N and pc-N count from the next instruction",
            )
        return self._fit(kind, number, "the distance")

    def _jump_if(self, dst_node: Node, sign: Token, operand_node: Node, target: Node) -> Operation:
        dst, operand = self.register(dst_node), self.operand(operand_node)
        op, width = _COMPARE[str(sign)], 32 if dst.narrow else 64
        off, symbol = self._target(target, "off")
        match operand:
            case Register():
                spec = BY_SHAPE[Form.JCOND_REG, op, width]
                src = self._value(spec, operand)
                return Operation(spec, self._whole, dst.number, src, off, symbol=symbol)
            case Number():
                spec = BY_SHAPE[Form.JCOND_IMM, op, width]
                imm = self._fit("imm32", operand, "the immediate")
                return Operation(spec, self._whole, dst.number, 0, off, imm, symbol)

    def _jump(self, target: Node) -> Operation:
        off, symbol = self._target(target, "off")
        return Operation(BY_NAME["ja"], self._whole, off=off, symbol=symbol)

    def _jump_long(self, target: Node) -> Operation:
        imm, symbol = self._target(target, "imm32")
        return Operation(BY_NAME["gotol"], self._whole, imm=imm, symbol=symbol)

    def _may_goto(self, target: Node) -> Operation:
        off, symbol = self._target(target, "off")
        return Operation(BY_NAME["may_goto"], self._whole, off=off, symbol=symbol)

    def _jump_register(self, node: Node) -> Operation:
        return self._through(BY_NAME["gotox"], node)

    def _call_register(self, node: Node) -> Operation:
        return self._through(BY_NAME["callx"], node)

    def _through(self, spec: InstructionSpec, node: Node) -> Operation:
        return Operation(spec, self._whole, self._value(spec, self.register(node)))

    def _call(self, callee: Node) -> Operation:
        if callee.data == "call_number":
            imm = self._fit("imm32", self.number(callee.children[0]), "the helper's number")
            return Operation(BY_NAME["call_helper"], self._whole, imm=imm)
        if callee.data == "call_kfunc":
            number, module = callee.children
            imm = self._fit("imm32", self.number(number), "the BTF id")
            off = self._fit("off", self.number(module) if module else None, "the module's index")
            return Operation(BY_NAME["call_kfunc"], self._whole, off=off, imm=imm)
        name, addend = callee.children
        if addend is not None:
            imm = self._from_pc(name, addend, "imm32")
            return Operation(BY_NAME["call_local"], self._whole, imm=imm)
        symbol = Symbol(Role.CALLEE, str(name), self._span(name))
        return Operation(BY_NAME["call_helper"], self._whole, symbol=symbol)

    def _exit(self) -> Operation:
        return Operation(BY_NAME["exit"], self._whole)

    # Directives ------------------------------------------------------------------------------

    def _directive(self, name: Token, *arguments: Node | None) -> Directive:
        read = tuple(self._argument(node) for node in arguments if node is not None)
        return Directive(str(name), read, self._whole, self._span(name))

    def _argument(self, node: Node) -> Argument:
        key, inner = node.children
        value = self._argument_value(inner)
        if key is None:
            return Argument(value, value.span)
        span = Span(self.source, self._span(key).start, value.span.end)
        return Argument(value, span, str(key))

    def _argument_value(self, inner: Node | Token) -> Value:
        if not isinstance(inner, Token):
            return self._number_or_name(self.tree(inner))
        span = self._span(inner)
        if inner.type == "STRING":
            return Value(inner[1:-1], span, quoted=True)
        return Value(str(inner), span)

    def _number_or_name(self, tree: Expression) -> Value:
        """A value whose number is known if all its names stand for numbers already."""
        text = self._text[tree.span.start - self._base : tree.span.end - self._base]
        known = all(self.names.find(name.text) is not None for name in names(tree))
        report = self.wrong.append
        number = evaluate(tree, self.names.meaning(report), report) if known else None
        return Value(text, tree.span, number, tree)
