"""Which look a map's keys and values have: the one place that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfasm.errors import BtfError
from ebpfasm.ir.prefixes import Prefix
from ebpfasm.ir.specs import MapSpec, VarSpec
from ebpfasm.ir.values import Codec, PerCpu, Plain, plain
from ebpfasm.isa.kinds import MAP_TYPES, MapType

if TYPE_CHECKING:
    from ebpfasm.btf.types import Types


def type_row(spec: MapSpec) -> MapType | None:
    """The row of a map's type, None for one that the table has not."""
    if isinstance(spec.type, int):
        return MAP_TYPES.by_id.get(spec.type)
    return MAP_TYPES.find(spec.type) or MAP_TYPES.by_id.get(MAP_TYPES.id_of(spec.type) or 0)


def type_name(spec: MapSpec) -> str:
    """The name of a map's type, whichever way the spec has it."""
    row = type_row(spec)
    if row is not None and row.id:
        return row.name
    return spec.type if isinstance(spec.type, str) else MAP_TYPES.name_of(spec.type)


def key_codec(spec: MapSpec) -> Codec:
    """How keys look. Raises EncodeError where the C type's name has another size."""
    what = f"key of map {spec.name!r}"
    typed = _typed(what, spec, spec.types.key if spec.types else 0, spec.key_size, frozen=True)
    if type_name(spec) == "lpm_trie" and spec.key_size > 4:
        return Prefix(what, spec.key_size, typed)
    return typed or plain(what, spec.key_size, spec.key)


def value_codec(spec: MapSpec, cpus: int) -> Codec:
    """How values look, with `cpus` of them in per-CPU maps. Raises EncodeError as for keys."""
    what = f"value of map {spec.name!r}"
    type_id = spec.types.value if spec.types else 0
    each = _typed(what, spec, type_id, spec.value_size, frozen=False)
    each = each or plain(what, spec.value_size, spec.value)
    row = type_row(spec)
    return PerCpu(each, cpus) if row is not None and row.per_cpu else each


def variable_codec(spec: VarSpec) -> Codec:
    """How a variable looks: by its type, or as a number where its size is one's, else bytes."""
    what = f"variable {spec.name!r}"
    typed = None
    if spec.btf is not None and spec.type:
        typed = _of_type(what, spec.btf, spec.type, spec.size, frozen=False)
    return typed or plain(what, spec.size)


def _typed(what: str, spec: MapSpec, type_id: int, size: int, *, frozen: bool) -> Codec | None:
    """What BTF says, None where it says nothing of something of this size."""
    if spec.types is None or not type_id:
        return None
    return _of_type(what, spec.types.btf, type_id, size, frozen=frozen)


def _of_type(what: str, btf: Types, type_id: int, size: int, *, frozen: bool) -> Codec | None:
    from ebpfasm.btf.resolve import size_of
    from ebpfasm.ir.shapes import Number, shape_of
    from ebpfasm.ir.typed import Typed

    try:
        # Cheaper than a shape, where the type is nothing like what it is said to describe.
        if size_of(btf, type_id) != size:
            return None
        shape = shape_of(btf, type_id)
    except BtfError:
        return None  # what cannot be laid out is bytes
    if shape.size != size:
        return None
    if isinstance(shape, Number) and shape.kind in ("int", "pointer"):
        return Plain(what, size, integer=True, signed=shape.signed)
    return Typed(what, shape, frozen)
