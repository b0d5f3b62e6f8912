"""The directives: how each is written, and what the small ones are given."""

from __future__ import annotations

from collections.abc import Callable

from ebpfasm.asm.reading.statements import Directive
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.ir.specs import data_section

# directive -> bytes of each of its values; LLVM's names, and GNU's for BPF.
INTEGERS = {
    ".byte": 1, ".2byte": 2, ".short": 2, ".hword": 2, ".half": 2, ".value": 2,
    ".4byte": 4, ".long": 4, ".int": 4, ".word": 4, ".8byte": 8, ".quad": 8, ".dword": 8,
    ".octa": 16,
}  # fmt: skip
FLOATS = {".float": 4, ".single": 4, ".double": 8}
STRINGS = {".ascii": b"", ".asciz": b"\0", ".string": b"\0"}
SPACES = (".zero", ".skip", ".space", ".fill")
ALIGNMENTS = (".p2align", ".balign", ".align")
LEBS = (".uleb128", ".sleb128")

# Directives that fill a section, and how each is written.
CONTENTS: dict[str, str] = {
    **{name: f"{name} NUMBER [, NUMBER ...]" for name in INTEGERS},
    **{name: f"{name} NUMBER [, NUMBER ...]" for name in FLOATS},
    **{name: f'{name} "TEXT" [, "TEXT" ...]' for name in STRINGS},
    ".zero": ".zero BYTES",
    ".skip": ".skip BYTES [, VALUE]",
    ".space": ".space BYTES [, VALUE]",
    ".fill": ".fill COUNT [, BYTES [, VALUE]]",
    ".org": ".org OFFSET [, VALUE]",
    ".p2align": ".p2align POWER [, VALUE [, MOST]]",
    ".balign": ".balign BYTES [, VALUE [, MOST]]",
    ".align": ".align BYTES [, VALUE [, MOST]]",
    **{name: f"{name} NUMBER [, NUMBER ...]" for name in LEBS},
}

# Directives that hold variables: the alignment means nothing where all have one length, so it may
# stand among instructions too.
FILLING: dict[str, str] = {
    **CONTENTS,
    ".data": ".data",
    ".rodata": ".rodata",
    ".bss": ".bss",
    ".size": ".size NAME, BYTES",
    ".comm": ".comm NAME, BYTES [, ALIGNMENT]",
    ".lcomm": ".lcomm NAME, BYTES [, ALIGNMENT]",
}

# What is done before statements are read (preprocess.py). `.elseif` and its like belong to `.if`.
PREPROCESSING: dict[str, str] = {
    ".equ": ".equ NAME, NUMBER",
    ".set": ".set NAME, NUMBER",
    ".equiv": ".equiv NAME, NUMBER",
    ".macro": ".macro NAME A, B=5, C:req, D:vararg",
    ".endm": ".endm",
    ".endmacro": ".endmacro",
    ".exitm": ".exitm",
    ".purgem": ".purgem NAME",
    ".rept": ".rept NUMBER",
    ".rep": ".rep NUMBER",
    ".irp": ".irp NAME, VALUE, VALUE, ...",
    ".irpc": ".irpc NAME, CHARACTERS",
    ".endr": ".endr",
    ".include": '.include "FILE"',
    ".if": ".if NUMBER",
    ".ifne": ".ifne NUMBER",
    ".ifeq": ".ifeq NUMBER",
    ".ifgt": ".ifgt NUMBER",
    ".ifge": ".ifge NUMBER",
    ".iflt": ".iflt NUMBER",
    ".ifle": ".ifle NUMBER",
    ".ifdef": ".ifdef NAME",
    ".ifndef": ".ifndef NAME",
    ".ifnotdef": ".ifnotdef NAME",
    ".ifb": ".ifb TEXT",
    ".ifnb": ".ifnb TEXT",
    ".ifc": ".ifc TEXT, TEXT",
    ".ifnc": ".ifnc TEXT, TEXT",
    ".ifeqs": '.ifeqs "TEXT", "TEXT"',
    ".ifnes": '.ifnes "TEXT", "TEXT"',
    ".elseif": ".elseif NUMBER",
    ".else": ".else",
    ".endif": ".endif",
    ".error": '.error "TEXT"',
    ".err": ".err",
}

# All that a file may use: name -> how it is written, for messages and documents.
DIRECTIVES: dict[str, str] = {
    ".section": ".section NAME",
    ".text": ".text",
    ".globl": ".globl NAME",
    ".global": ".global NAME",
    ".extern": ".extern NAME",
    ".type": ".type NAME, @function",
    ".license": '.license "GPL"',
    ".map": ".map NAME, TYPE, key=u32, value=u64, max_entries=N [, flags=BPF_F_...]",
    ".jumptable": ".jumptable NAME, LABEL [, LABEL ...]",
    **PREPROCESSING,
    # What compilers write and this stage has no use for.
    ".file": '.file "NAME"',
    ".ident": '.ident "TEXT"',
    ".addrsig": ".addrsig",
    **FILLING,
}

LICENSE = "license"  # a section whose content is the license


def holds_data(section: str) -> bool:
    """Whether a section holds data rather than code."""
    return data_section(section) is not None or section == LICENSE


Report = Callable[[Diagnostic], None]


def usage(directive: Directive) -> str:
    """A hint that shows how the directive is written."""
    return f"write {DIRECTIVES[directive.name]}"


def one_name(directive: Directive, report: Report) -> str | None:
    """The name that is the directive's first argument; what follows is for ELF and not needed."""
    if not directive.arguments:
        report(
            error(
                "asm-directive",
                f"{directive.name} needs a name",
                directive.span,
                hint=usage(directive),
            )
        )
        return None
    return directive.arguments[0].value.text


def license_text(directive: Directive, report: Report) -> str | None:
    """The license, which must be a string."""
    if len(directive.arguments) != 1 or not directive.arguments[0].value.quoted:
        report(
            error(
                "asm-directive", ".license needs one string", directive.span, hint=usage(directive)
            )
        )
        return None
    return directive.arguments[0].value.text


def name_span(directive: Directive) -> Span:
    """Where the directive's first argument stands, or the directive where it has none."""
    return directive.arguments[0].span if directive.arguments else directive.span
