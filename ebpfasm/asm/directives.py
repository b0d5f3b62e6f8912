"""The directives: what each may be given, and the map that `.map` describes."""

from __future__ import annotations

from collections.abc import Callable

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.asm.statements import Argument, Directive, Value
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.ir import MapSpec
from ebpfasm.isa import constants, kinds

# name -> how it is written, for messages and documents.
DIRECTIVES: dict[str, str] = {
    ".section": ".section NAME",
    ".text": ".text",
    ".globl": ".globl NAME",
    ".global": ".global NAME",
    ".type": ".type NAME, @function",
    ".license": '.license "GPL"',
    ".map": ".map NAME, TYPE, key=u32, value=u64, max_entries=N [, flags=BPF_F_...]",
    # What compilers write and this stage has no use for.
    ".file": '.file "NAME"',
    ".ident": '.ident "TEXT"',
    ".p2align": ".p2align N",
    ".addrsig": ".addrsig",
}

# C types that a key or value may be named by, and their bytes.
SCALARS: dict[str, int] = {f"{sign}{bits}": bits // 8 for sign in "us" for bits in (8, 16, 32, 64)}

_SETTINGS = ("key", "value", "key_size", "value_size", "max_entries", "flags", "type")

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
    return directive.arguments[0].only.text


def license_text(directive: Directive, report: Report) -> str | None:
    """The license, which must be a string."""
    if len(directive.arguments) != 1 or not directive.arguments[0].only.quoted:
        report(
            error(
                "asm-directive", ".license needs one string", directive.span, hint=usage(directive)
            )
        )
        return None
    return directive.arguments[0].only.text


def map_spec(directive: Directive, report: Report) -> MapSpec | None:
    """Read `.map NAME, TYPE, key=..., value=..., max_entries=...`; None where it is wrong."""
    found: list[Diagnostic] = []
    name, kind = _name_and_type(directive, found.append)
    settings = _settings(directive, found.append)
    key, key_size = _side("key", settings, found.append)
    value, value_size = _side("value", settings, found.append)
    max_entries = _number(settings.get("max_entries"), found.append)
    flags = _flags(settings.get("flags"), found.append)
    if kind is not None:
        found += _missing(kind, settings, directive)
    for diagnostic in found:
        report(diagnostic)
    if found or name is None or kind is None:
        return None
    key_size = kind.fixed_key or 0 if key_size is None else key_size
    value_size = kind.fixed_value or 0 if value_size is None else value_size
    return MapSpec(
        name,
        kind.name,
        key_size,
        value_size,
        max_entries or 0,
        flags,
        key,
        value,
        span=directive.span,
    )


def _name_and_type(directive: Directive, report: Report) -> tuple[str | None, kinds.MapType | None]:
    positional = [argument for argument in directive.arguments if not argument.key]
    if len(positional) != 2:
        report(
            error(
                "asm-map",
                ".map needs a name and a type first",
                directive.span,
                hint=usage(directive),
            )
        )
        return None, None
    name, kind = (argument.only for argument in positional)
    row = kinds.MAP_TYPES.find(kind.text)
    if row is None:
        hint = did_you_mean(kind.text, kinds.MAP_TYPES.by_name)
        report(error("asm-map", f"there is no map type {kind.text}", kind.span, hint=hint))
    return name.text, row


def _settings(directive: Directive, report: Report) -> dict[str, Argument]:
    settings: dict[str, Argument] = {}
    for argument in directive.arguments:
        if not argument.key:
            continue
        if argument.key not in _SETTINGS:
            hint = did_you_mean(argument.key, _SETTINGS) or usage(directive)
            report(error("asm-map", f"a map has no {argument.key}", argument.span, hint=hint))
        elif argument.key in settings:
            report(error("asm-map", f"{argument.key} is given twice", argument.span))
        else:
            settings[argument.key] = argument
    return settings


def _side(side: str, settings: dict[str, Argument], report: Report) -> tuple[str, int | None]:
    """A key's or value's C type, empty if it is given by size, and its bytes, None if not given."""
    typed, sized = settings.get(side), settings.get(f"{side}_size")
    if typed is not None and sized is not None:
        report(error("asm-map", f"give {side} or {side}_size, not both", sized.span))
    if typed is None:
        return "", _number(sized, report)
    given = typed.only
    if given.number is not None:
        return "", _number(typed, report)
    if given.text not in SCALARS:
        hint = did_you_mean(given.text, SCALARS) or "use u8 to u64, s8 to s64, or a size in bytes"
        report(error("asm-map", f"{given.text} is no type for a {side}", given.span, hint=hint))
        return "", 0
    return given.text, SCALARS[given.text]


def _number(argument: Argument | None, report: Report) -> int | None:
    if argument is None:
        return None
    number = _value(argument.only, report)
    if not 0 <= number < 1 << 32:
        report(error("asm-range", f"{number} is outside 0 to 4294967295", argument.only.span))
    return number


def _flags(argument: Argument | None, report: Report) -> int:
    flags = 0
    for value in argument.values if argument is not None else ():
        flags |= _value(value, report)
    return flags


def _value(value: Value, report: Report) -> int:
    if value.number is not None:
        return value.number
    number = constants.CONSTANTS.get(value.text)
    if number is None:
        hint = did_you_mean(value.text, constants.CONSTANTS)
        report(error("asm-symbol", f"{value.text} is no constant", value.span, hint=hint))
    return number or 0


def _missing(
    kind: kinds.MapType, settings: dict[str, Argument], directive: Directive
) -> list[Diagnostic]:
    wrong = []
    for side, fixed in (("key", kind.fixed_key), ("value", kind.fixed_value)):
        given = side in settings or f"{side}_size" in settings
        if not given and fixed is None and not (side == "key" and kind.no_key):
            wrong.append(
                error(
                    "asm-map",
                    f"a map of type {kind.name} needs {side}=",
                    directive.span,
                    hint=usage(directive),
                )
            )
    if "max_entries" not in settings:
        wrong.append(
            error("asm-map", "max_entries= is missing", directive.span, hint=usage(directive))
        )
    return wrong


def name_span(directive: Directive) -> Span:
    """Where the directive's first argument stands, or the directive where it has none."""
    return directive.arguments[0].span if directive.arguments else directive.span
