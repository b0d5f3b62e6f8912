"""Tags of types in C: btf_decl_tag, which clang writes into BTF again, and how both are spelled.

libbpf's dumper leaves declaration tags out.
"""

from __future__ import annotations

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import DeclTag, Types, TypeTag

# Escapes that a compiler takes in an attribute's text: by number it takes none.
_ESCAPES = str.maketrans({
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n",
    "\r": "\\r", "\t": "\\t", "\v": "\\v",
})  # fmt: skip


class DeclTags:
    """The declaration tags of a BTF, found when the first is asked for."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._found: dict[tuple[int, int], list[DeclTag]] | None = None

    def of(self, type_id: int, component: int = -1) -> str:
        """The attributes of a type, or of one of its members, with a blank before each."""
        if self._found is None:
            self._found = self._all()
        found = self._found.get((type_id, component), ())
        return "".join(f" {spelled(each)}" for each in found)

    def _all(self) -> dict[tuple[int, int], list[DeclTag]]:
        types, found = self._types, dict[tuple[int, int], list[DeclTag]]()
        ids = range(1, len(types) + 1)
        for each in types.of_kind(DeclTag) if isinstance(types, BtfIndex) else ids:
            tag = types.get(each)
            if isinstance(tag, DeclTag):
                found.setdefault((tag.type, tag.component), []).append(tag)
        return found


def spelled(tag: DeclTag | TypeTag) -> str:
    """The attribute that a tag is in C."""
    if tag.attribute:
        return f"__attribute__(({tag.name}))"
    kind = "btf_decl_tag" if isinstance(tag, DeclTag) else "btf_type_tag"
    return f'__attribute__(({kind}("{tag.name.translate(_ESCAPES)}")))'
