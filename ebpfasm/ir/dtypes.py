"""numpy dtypes for shapes, the same places and all, so that arrays need no copy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_never

from ebpfasm.ir.decoding import number_code
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text

if TYPE_CHECKING:
    import numpy as np


def dtype_of(shape: Shape) -> np.dtype[Any]:
    """The dtype of a shape, in the machine's byte order.

    Fields of unions share their place. numpy has no bit-fields: those that lie together become
    one unsigned field, or bytes, that is named after all of them ("kind+flags").
    """
    import numpy as np

    match shape:
        case Number():
            return np.dtype(number_code(shape))
        case Text(size=size):
            return np.dtype(f"S{size}") if size else np.dtype("V0")
        case Octets(size=size):
            return np.dtype((np.uint8, (size,)))
        case Row():
            return np.dtype((dtype_of(shape.element), (shape.count,)))
        case Record():
            columns = list(_columns(shape))
            return np.dtype({
                "names": [name for name, _, _ in columns],
                "formats": [dtype for _, dtype, _ in columns],
                "offsets": [offset for _, _, offset in columns],
                "itemsize": shape.size,
            })  # fmt: skip
        case _:
            assert_never(shape)


def _columns(shape: Record) -> Iterator[tuple[str, Any, int]]:
    """Name, dtype and offset in bytes of each field."""
    together: list[Field] = []
    for each in shape.fields:
        if together and (not each.bits or each.offset // 8 >= -(-together[-1].end // 8)):
            yield _unit(together)
            together = []
        if each.bits:
            together.append(each)
        else:
            yield each.name, dtype_of(each.shape), each.offset // 8
    if together:
        yield _unit(together)


def _unit(together: list[Field]) -> tuple[str, Any, int]:
    start = min(each.offset for each in together) // 8
    size = -(-max(each.end for each in together) // 8) - start
    name = "+".join(each.name for each in together)
    return name, f"u{size}" if size in (1, 2, 4, 8) else f"V{size}", start


def shape_of_dtype(dtype: np.dtype[Any]) -> Shape:
    """The shape of a dtype, to be compared with a map's own."""
    native = "<" if sys.byteorder == "little" else ">"
    if dtype.subdtype is not None:
        element, counts = dtype.subdtype
        shape = shape_of_dtype(element)
        for count in reversed(counts):
            octets = shape == Number(1)
            shape = Octets(count) if octets else Row(shape, count)
        return shape
    if dtype.names is not None and dtype.fields is not None:
        fields = [
            Field(name, shape_of_dtype(dtype.fields[name][0]), 8 * dtype.fields[name][1])
            for name in dtype.names
        ]
        return Record("", dtype.itemsize, tuple(fields))
    if dtype.kind in "iufb" and dtype.byteorder in ("=", "|", native):
        kinds = {"f": "float", "b": "bool"}
        return Number(dtype.itemsize, dtype.kind == "i", kinds.get(dtype.kind, "int"))  # type: ignore[arg-type]
    return Octets(dtype.itemsize)
