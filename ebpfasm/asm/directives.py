"""The directives: how each is written, and what the small ones are given."""

from __future__ import annotations

from collections.abc import Callable

from ebpfasm.asm import maps, preprocess, variables
from ebpfasm.asm.statements import Directive
from ebpfasm.errors import Diagnostic, Span, error

# name -> how it is written, for messages and documents.
DIRECTIVES: dict[str, str] = {
    ".section": ".section NAME",
    ".text": ".text",
    ".globl": ".globl NAME",
    ".global": ".global NAME",
    ".type": ".type NAME, @function",
    ".license": '.license "GPL"',
    ".map": maps.USAGE,
    # What ebpfasm.asm.preprocess does before statements are read.
    **preprocess.DIRECTIVES,
    # What compilers write and this stage has no use for.
    ".file": '.file "NAME"',
    ".ident": '.ident "TEXT"',
    ".addrsig": ".addrsig",
    # Variables, and the alignment that instructions have anyway.
    **variables.USAGE,
}

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
