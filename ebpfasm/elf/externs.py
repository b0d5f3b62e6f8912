"""Names that the object does not define: kernel configuration, kernel symbols, kernel functions.

BTF says which of them a name is, by the section that the declaration is in: .kconfig or .ksyms.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.btf.resolve import align_of, plain, size_of
from ebpfasm.btf.types import Array, Enum, Enum64, Func, Int, IntEncoding
from ebpfasm.elf.source import Input
from ebpfasm.elf.types import ObjectTypes, Variable
from ebpfasm.errors import BtfError
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.object import ObjectSymbol
from ebpfasm.ir.references import KfuncRef, KsymRef
from ebpfasm.ir.specs import KconfigKind, KconfigSpec, MapSpec, MapTypes, VarSpec
from ebpfasm.isa.constants import CONSTANTS

KCONFIG, KSYMS = ".kconfig", ".ksyms"
_KEY_SIZE = 4
_TRISTATE = "libbpf_tristate"
_STRING_MOST = 1 << 20  # bytes of a value; the kernel's configuration has nothing near it


class Externs:
    """The undefined names of an object, by the number of their symbol."""

    def __init__(
        self,
        given: Input,
        types: ObjectTypes | None,
        symbols: Iterable[tuple[int, ObjectSymbol]],
    ) -> None:
        self._given = given
        self._types = types
        self._declared: dict[str, tuple[str, Variable]] = {}
        for section in (KCONFIG, KSYMS):
            _, variables = types.sections.get(section, (0, ())) if types is not None else (0, ())
            for each in variables:
                self._declared.setdefault(each.name, (section, each))
        undefined = [
            (number, symbol) for number, symbol in symbols
            if symbol.section is None and symbol.type == "notype" and symbol.binding != "local"
        ]  # fmt: skip
        self.kconfig: dict[str, KconfigSpec] = {}
        self.kconfig_map: MapSpec | None = None
        self.kconfig_variables: list[VarSpec] = []
        self._found: dict[int, KconfigSpec | KsymRef | KfuncRef] = {}
        self._read_kconfig(undefined)
        for number, symbol in undefined:
            section, variable = self._declared.get(symbol.name, ("", None))
            weak = symbol.binding == "weak"
            if symbol.name in self.kconfig:
                self._found[number] = self.kconfig[symbol.name]
            elif section == KSYMS and variable is not None:
                self._found[number] = self._ksym(variable, weak)

    def find(self, symbol: int) -> KconfigSpec | KsymRef | KfuncRef | None:
        """What an undefined symbol is, None where no declaration says it."""
        return self._found.get(symbol)

    def ksym(self, symbol: int) -> KsymRef | None:
        """A kernel symbol, or the address of a kernel function."""
        match self._found.get(symbol):
            case KsymRef() as found:
                return found
            case KfuncRef(name=name, weak=weak, type_id=type_id):
                return KsymRef(name, type_id, weak)
            case _:
                return None

    def _ksym(self, variable: Variable, weak: bool) -> KsymRef | KfuncRef:
        assert self._types is not None
        if isinstance(self._types.btf.get(variable.var), Func):
            return KfuncRef(variable.name, weak, variable.type)
        type_id, _ = plain(self._types.btf, variable.type)
        return KsymRef(variable.name, type_id, weak)

    # .kconfig ----------------------------------------------------------------------------------

    def _read_kconfig(self, undefined: list[tuple[int, ObjectSymbol]]) -> None:
        """Lay the map out as libbpf does: by alignment from large to small, size, name."""
        rows = []
        for _, symbol in undefined:
            section, variable = self._declared.get(symbol.name, ("", None))
            if section != KCONFIG or variable is None:
                continue
            row = self._kconfig_row(variable, symbol.binding == "weak")
            if row is not None:
                rows.append(row)
        if not rows:
            return
        rows.sort(key=lambda row: (-row[0], row[1].size, row[1].name))
        size = 0
        placed = []
        for align, each, variable in rows:
            offset = -(-size // align) * align
            placed.append((KconfigSpec(each.name, offset, each.size, each.kind, each.signed,
                                       each.weak), variable))  # fmt: skip
            size = offset + each.size
        self._make_map(placed, size)

    def _make_map(self, placed: list[tuple[KconfigSpec, Variable]], size: int) -> None:
        assert self._types is not None
        contents = Contents(b"", size, self._given.object.byteorder)
        type_id, _ = self._types.sections[KCONFIG]
        flags = CONSTANTS["BPF_F_RDONLY_PROG"] | CONSTANTS["BPF_F_MMAPABLE"]
        self.kconfig_map = MapSpec(
            KCONFIG, "array", _KEY_SIZE, size, 1, flags, contents=contents, frozen=True,
            types=MapTypes(self._types.btf, 0, type_id),
        )  # fmt: skip
        for each, variable in placed:
            self.kconfig[each.name] = each
            self.kconfig_variables.append(VarSpec(
                each.name, KCONFIG, each.offset, each.size, "extern", KCONFIG, variable.type,
                self._types.btf, contents,
            ))  # fmt: skip

    def _kconfig_row(
        self, variable: Variable, weak: bool
    ) -> tuple[int, KconfigSpec, Variable] | None:
        """An extern with its alignment and no place yet."""
        assert self._types is not None
        btf, name = self._types.btf, variable.name
        try:
            size, align = size_of(btf, variable.type), align_of(btf, variable.type)
            kind, signed = self._kind(variable.type)
        except BtfError as problem:
            self._given.report("elf-variable", f"{name}: {problem.diagnostics[0].message}")
            return None
        if kind is None or not 0 < size <= _STRING_MOST:
            hint = "declare it as bool, char, char[], enum libbpf_tristate or an integer"
            message = f"{name} in {KCONFIG} is of a type that no option has"
            self._given.report("elf-variable", message, hint=hint)
            return None
        return align, KconfigSpec(name, 0, size, kind, signed, weak), variable

    def _kind(self, type_id: int) -> tuple[KconfigKind | None, bool]:
        assert self._types is not None
        _, found = plain(self._types.btf, type_id)
        match found:
            case Int(size=1, encoding=encoding) if encoding & IntEncoding.BOOL:
                return "bool", False
            case Int(size=1, encoding=encoding):
                return "char", bool(encoding & IntEncoding.SIGNED)
            case Int(size=2 | 4 | 8, encoding=encoding) if not encoding & IntEncoding.BOOL:
                return "int", bool(encoding & IntEncoding.SIGNED)
            case Enum(name=name, size=4) | Enum64(name=name) if name == _TRISTATE:
                return "tristate", False
            case Array(type=element, nelems=nelems) if nelems:
                kind, _ = self._kind_of_element(element)
                return ("string" if kind == "char" else None), False
            case _:
                return None, False

    def _kind_of_element(self, type_id: int) -> tuple[KconfigKind | None, bool]:
        assert self._types is not None
        _, found = plain(self._types.btf, type_id)
        return (None, False) if isinstance(found, Array) else self._kind(type_id)
