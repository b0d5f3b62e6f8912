"""BTF types as C: declarations that a compiler turns into the same types again.

What embeds a struct comes after it, what only points to one needs no more than its name; the order
is otherwise that of the ids. Types that C knows by itself, such as int, are not declared.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.btf.c_layout import Layout
from ebpfasm.btf.c_tags import DeclTags, spelled
from ebpfasm.btf.resolve import POINTER
from ebpfasm.btf.types import (
    AnyEnum,
    Array,
    BtfType,
    Composite,
    Const,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    Types,
    TypeTag,
    Union,
    Volatile,
)
from ebpfasm.errors import BtfError, error

_DEEPEST = 200  # declarations that need each other, or structs inside each other

# Typedefs that every compiler has.
_BUILT_IN = frozenset({"__builtin_va_list"})
_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "restrict"}

_BEGIN = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif
"""
_END = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif
"""


def print_types(
    types: Types,
    ids: Iterable[int] | None = None,
    *,
    preserve_access_index: bool = False,
    pointer: int = POINTER,
) -> str:
    """Write types as C, all or those with the given ids and what these need.

    With `preserve_access_index` programs that are compiled with it get CO-RE relocations. Where
    several types have one name, the second is called NAME___2 as bpftool does it. `pointer` is the
    size of a pointer in bytes. Raises BtfError.
    """
    printer = Printer(types, pointer)
    for each in range(1, len(types) + 1) if ids is None else ids:
        printer.declare(each)
    text = printer.text()
    return f"{_BEGIN}\n{text}\n{_END}" if preserve_access_index else text


class Printer:
    """Declarations in an order that a compiler takes; `name_of` says what a type was called."""

    def __init__(self, types: Types, pointer: int = POINTER) -> None:
        self._types = types
        self._layout = Layout(types, pointer)
        self._tags = DeclTags(types)
        self._names: dict[int, str] = {}
        self._taken: dict[tuple[str, str], int] = {}
        self._begun: set[int] = set()
        self._forward: set[str] = set()  # declared, or defined
        self._out: list[str] = []

    def text(self) -> str:
        """What has been declared so far."""
        return "\n\n".join(self._out) + "\n" if self._out else ""

    def declare(self, type_id: int) -> None:
        """Write a type with all that it needs, unless it has been written. Raises BtfError."""
        each = self._types.get(type_id)
        if isinstance(each, AnyEnum) and not each.name and type_id not in self._begun:
            self._begun.add(type_id)
            self._out.append(f"{self._enum(type_id, each, '')};")
        if isinstance(each, Composite | AnyEnum | Typedef | Fwd) and each.name:
            self._need(type_id, 0, complete=not isinstance(each, Fwd))

    def name_of(self, type_id: int) -> str:
        """The name that stands for a struct, union, enumeration or typedef."""
        known = self._names.get(type_id)
        if known is None:
            each = self._types.get(type_id)
            space = "typedef" if isinstance(each, Typedef) else "tag"
            name = getattr(each, "name", "")
            # A declaration and the definition go by the same name.
            known = name if isinstance(each, Fwd) else self._free(space, name)
            self._names[type_id] = known
        return known

    def _free(self, space: str, name: str) -> str:
        if not name:
            return ""
        key = "ordinary" if space in ("typedef", "enumerator") else space, name
        count = self._taken[key] = self._taken.get(key, 0) + 1
        return name if count == 1 else f"{name}___{count}"

    def _need(self, type_id: int, depth: int, *, complete: bool, inside: int = 0) -> None:
        """See to it that a type can be used: as a member if `complete`, else behind a pointer.

        `inside` is the struct that is being written, which is known in its own body.
        """
        if depth > _DEEPEST:
            raise BtfError(error("btf-format", f"type {type_id} needs others without end"))
        each = self._types.get(type_id)
        match each:
            case Ptr():
                self._need(each.type, depth + 1, complete=False, inside=inside)
            case Array():
                self._need(each.type, depth + 1, complete=True, inside=inside)
            case Const() | Volatile() | Restrict() | TypeTag():
                self._need(each.type, depth + 1, complete=complete, inside=inside)
            case FuncProto():
                for used in (each.type, *(param.type for param in each.params)):
                    self._need(used, depth + 1, complete=False, inside=inside)
            case Typedef():
                self._typedef(type_id, each, depth, complete=complete)
            case Struct() | Union() if type_id != inside:
                self._composite(type_id, each, depth, complete=complete, inside=inside)
            case Fwd():
                self._announce(type_id, "union" if each.union else "struct")
            case _ if isinstance(each, AnyEnum) and each.name and type_id not in self._begun:
                self._begun.add(type_id)
                self._out.append(f"{self._enum(type_id, each, '')};")
            case _:
                pass

    def _typedef(self, type_id: int, each: Typedef, depth: int, *, complete: bool) -> None:
        if each.name in _BUILT_IN:
            return
        if type_id not in self._begun:
            self._begun.add(type_id)
            self._need(each.type, depth + 1, complete=False)
            if each.name == "__gnuc_va_list" and each.type == 0:
                text = "__builtin_va_list __gnuc_va_list"  # which old gcc does not describe
            else:
                text = self._declared(each.type, self.name_of(type_id), depth + 1)
                text += self._tags.of(type_id)
            self._out.append(f"typedef {text};")
        if complete:
            self._need(each.type, depth + 1, complete=True)

    def _composite(
        self, type_id: int, each: Composite, depth: int, *, complete: bool, inside: int
    ) -> None:
        keyword = "struct" if isinstance(each, Struct) else "union"
        if each.name and not complete:
            self._announce(type_id, keyword)
            return
        if type_id in self._begun and each.name:
            return
        if each.name:
            self._begun.add(type_id)
        for member in each.members:
            outer = type_id if each.name else inside
            self._need(member.type, depth + 1, complete=True, inside=outer)
        if each.name:
            self._out.append(f"{self._body(type_id, each, depth, 0)};")
            self._forward.add(f"{keyword} {self.name_of(type_id)}")

    def _announce(self, type_id: int, keyword: str) -> None:
        tag = f"{keyword} {self.name_of(type_id)}"
        if tag not in self._forward:
            self._forward.add(tag)
            self._out.append(f"{tag};")

    def _body(self, type_id: int, each: Composite, depth: int, indent: int) -> str:
        """A struct or union with its members."""
        keyword = "struct" if isinstance(each, Struct) else "union"
        head = f"{keyword} {self.name_of(type_id)}".rstrip()
        inner = "\t" * (indent + 1)
        lines = []
        number = 0
        for member, padding in self._layout.gaps(type_id, each):
            if padding:
                lines.append(f"{inner}{padding}")
            if member is not None:
                text = self._declared(member.type, member.name, depth + 1, indent + 1)
                width = f": {member.bitfield_size}" if member.bitfield_size else ""
                lines.append(f"{inner}{text}{width}{self._tags.of(type_id, number)};")
                number += 1
        packed = " __attribute__((packed))" if self._layout.is_packed(type_id, each) else ""
        members = "".join(f"{line}\n" for line in lines)
        return f"{head} {{\n{members}{inner[1:]}}}{packed}{self._tags.of(type_id)}"

    def _enum(self, type_id: int, each: AnyEnum, indent: str) -> str:
        """An enumeration with its values."""
        lines = []
        for value in each.values:
            name = self._free("enumerator", value.name)
            lines.append(f"{indent}\t{name} = {_number(value.value, each)},\n")
        head = f"enum {self.name_of(type_id)}".rstrip()
        if not lines:
            return head if each.name else "enum { }"
        mode = _MODES.get(each.size, "") if isinstance(each, Enum64) or each.size != 4 else ""
        return f"{head} {{\n{''.join(lines)}{indent}}}{mode}"

    def _declared(self, type_id: int, inner: str, depth: int, indent: int = 0) -> str:
        """The declaration of a name, or of something with none, as having a type."""
        behind, before = inner, list[str]()
        for _ in range(_DEEPEST):
            each = self._types.get(type_id)
            match each:
                case Const() | Volatile() | Restrict():
                    words, type_id = self._qualifiers(type_id)
                    if isinstance(self._types.get(type_id), Ptr):
                        behind = f"{words} {behind}".rstrip()
                        pointer = self._types.get(type_id)
                        assert isinstance(pointer, Ptr)
                        behind, type_id = self._pointed(pointer.type, behind), pointer.type
                    else:
                        before += (each for each in words.split() if each != "restrict")
                case TypeTag():
                    behind, type_id = f"{spelled(each)} {behind}".rstrip(), each.type
                case Ptr():
                    behind, type_id = self._pointed(each.type, behind), each.type
                case Array():
                    behind, type_id = f"{behind}[{each.nelems}]", each.type
                case FuncProto():
                    behind, type_id = f"{behind}({self._parameters(each, depth)})", each.type
                case _:
                    named = self._base(type_id, each, depth, indent)
                    return " ".join([*dict.fromkeys(before), named, behind]).rstrip()
        raise BtfError(error("btf-format", f"type {type_id} leads to others without end"))

    def _qualifiers(self, type_id: int) -> tuple[str, int]:
        words: list[str] = []
        for _ in range(_DEEPEST):
            each = self._types.get(type_id)
            if not isinstance(each, Const | Volatile | Restrict):
                break
            words.append(_QUALIFIERS[type(each)])
            type_id = each.type
        return " ".join(dict.fromkeys(words)), type_id

    def _pointed(self, target: int, behind: str) -> str:
        _, target = self._qualifiers(target)
        if isinstance(self._types.get(target), Array | FuncProto):
            return f"(*{behind})"
        return f"*{behind}"

    def _sized(self, type_id: int, size: int) -> str:
        """A number of an enumeration's size: one without a name has its body only once."""
        if size not in _SIZED:
            message = f"type {type_id} is an enumeration of {size} bytes"
            raise BtfError(error("btf-format", message))
        return _SIZED[size]

    def _parameters(self, each: FuncProto, depth: int) -> str:
        if depth > _DEEPEST:
            raise BtfError(error("btf-format", "functions take functions without end"))
        if not each.params:
            return "void"
        return ", ".join(
            "..." if not param.type else self._declared(param.type, param.name, depth + 1)
            for param in each.params
        )

    def _base(self, type_id: int, each: BtfType | None, depth: int, indent: int) -> str:
        """What stands in front of a declaration: a name, or the whole body of an unnamed type."""
        if depth > _DEEPEST:
            raise BtfError(error("btf-format", "structs lie inside each other without end"))
        match each:
            case None:
                return "void"
            case Struct() | Union():
                if not each.name:
                    return self._body(type_id, each, depth, indent)
                keyword = "struct" if isinstance(each, Struct) else "union"
                return f"{keyword} {self.name_of(type_id)}"
            case Fwd():
                return f"{'union' if each.union else 'struct'} {self.name_of(type_id)}"
            case Int() | Float():
                return each.name
            case Typedef():
                return self.name_of(type_id)
            case _ if isinstance(each, AnyEnum):
                if each.name:
                    return f"enum {self.name_of(type_id)}"
                if type_id in self._begun:
                    return self._sized(type_id, each.size)
                self._begun.add(type_id)
                return self._enum(type_id, each, "\t" * indent)
            case _:
                raise BtfError(error("btf-format", f"type {type_id} is no type of a variable"))


_MODES = {
    1: " __attribute__((mode(byte)))",
    2: " __attribute__((mode(HI)))",
    8: " __attribute__((mode(DI)))",
}
_SIZED = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long"}


def _number(value: int, each: AnyEnum) -> str:
    if each.size <= 4 and -(1 << 31) < value < 1 << 32:
        return str(value)
    suffix = "LL" if value < 1 << 63 else "ULL"
    # The least number cannot be written as one.
    return f"({value + 1}LL - 1)" if value <= -(1 << 31) else f"{value}{suffix}"
