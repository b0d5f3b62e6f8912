"""What a user says of the records in a ring, made into ways to read them.

Bytes where nothing is said; else a struct format ("=IQ16s": tuples), a dataclass, a named tuple, a
ctypes structure, a numpy dtype, a C type by its name in the map's BTF ("struct event": dicts), a
pair of a Btf and a type's id or name, or any function from bytes.
"""

from __future__ import annotations

import ctypes
import dataclasses
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ebpfasm.btf import types as t
from ebpfasm.btf.types import Types
from ebpfasm.errors import BtfError, EncodeError, error
from ebpfasm.ir.classes import shape_of_ctypes
from ebpfasm.ir.decoding import decoder
from ebpfasm.ir.dtypes import dtype_of
from ebpfasm.ir.making import Making, making_of
from ebpfasm.ir.shapes import Field, Number, NumberKind, Octets, Record, Row, Shape, Text, shape_of

Numpy = Callable[[], Any]

_NUMBERS: dict[str, tuple[int, bool, NumberKind]] = {
    **{f"u{8 * size}": (size, False, "int") for size in (1, 2, 4, 8)},
    **{f"s{8 * size}": (size, True, "int") for size in (1, 2, 4, 8)},
    "bool": (1, False, "bool"),
    "float": (4, True, "float"),
    "double": (8, True, "float"),
    "int": (4, True, "int"),
    "unsigned int": (4, False, "int"),
    "long long": (8, True, "int"),
    "unsigned long long": (8, False, "int"),
}


class RecordType:
    """How records are read. `size` is that of every one, in bytes; 0 where they differ."""

    def __init__(
        self, size: int, values: Callable[[memoryview, Sequence[int]], Iterable[Any]], numpy: Numpy
    ) -> None:
        self.size = size
        self._values = values
        self._numpy = numpy
        self._dtype: Any = None

    def values(self, data: memoryview, ends: Sequence[int]) -> Iterator[Any]:
        """The values of records that lie one behind the other; `ends` says where they end.

        The buffer may be used again at once. Threads may share what comes.
        """
        return iter(self._values(data, ends))

    def numpy(self) -> Any:
        """The dtype of the records. Raises TypeError where there is none."""
        if self._dtype is None:
            self._dtype = self._numpy()
        return self._dtype


def record_of(given: Any, btf: Types | None = None) -> RecordType:
    """Read what a user said. `btf` is the map's, to find types by name in.

    Raises TypeError for what describes no record, BtfError, EncodeError, struct.error.
    """
    if given is None:
        return RecordType(0, _bytes, _no_numpy)
    if isinstance(given, str) and " " in given.strip() and btf is not None:
        given = (btf, given)
    if isinstance(given, str):
        given = struct.Struct(given)
    if isinstance(given, struct.Struct):
        return _fixed(
            given.size, lambda data: given.iter_unpack(bytes(data)), lambda: _format_type(given)
        )
    if isinstance(given, tuple) and len(given) == 2 and hasattr(given[0], "get"):
        found = given[1] if isinstance(given[1], int) else _find_type(*given)
        return _shaped(shape_of(given[0], found))
    if isinstance(given, type) and issubclass(given, ctypes.Structure | ctypes.Union):
        return _ctypes(given)
    if isinstance(given, type) and _has_fields(given):
        return _shaped(*_class(given))
    if type(given).__module__.partition(".")[0] == "numpy":
        return _numpy(given)
    if callable(given):
        return RecordType(0, lambda data, ends: map(given, _bytes(data, ends)), _no_numpy)
    raise TypeError(f"{given!r} describes no record")


def misfit(what: str, record: RecordType, length: int) -> EncodeError:
    """The error for a record of another length than its type has."""
    message = f"{what} has a record of {length} bytes where its type has {record.size}"
    hint = "it is still there: read_bytes() takes it out"
    return EncodeError(error("event-record", message, hint=hint))


def _bytes(data: memoryview, ends: Sequence[int]) -> Iterable[bytes]:
    if isinstance(ends, range) and ends.step:  # records of one length
        return decoder(Octets(ends.step)).each(bytes(data), len(ends), ends.step)
    whole = bytes(data)  # slices of bytes are bytes
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _fixed(size: int, values: Callable[[Any], Iterable[Any]], numpy: Numpy) -> RecordType:
    if size == 0:
        raise TypeError("a record type of no bytes describes no record")
    return RecordType(size, lambda data, ends: values(data), numpy)


def _shaped(shape: Shape, making: Making | None = None) -> RecordType:
    size, each = shape.size, decoder(shape, making).each

    def values(data: memoryview) -> Iterator[Any]:
        return each(bytes(data), len(data) // size, size)

    return _fixed(size, values, lambda: dtype_of(shape))


def _find_type(btf: Types, name: str) -> int:
    """The id of a struct, union or typedef: "struct event", "event". Raises BtfError."""
    word = name.removeprefix("struct ").removeprefix("union ").strip()
    for kind in (t.Struct, t.Union, t.Typedef):
        found: Any = btf.find(kind, word)  # type: ignore[attr-defined]
        if found:
            return int(found[0] if isinstance(found, list) else found)
    raise BtfError(error("btf-format", f"there is no type {name!r} in this BTF"))


def _ctypes(given: type[Any]) -> RecordType:
    size = ctypes.sizeof(given)

    def values(data: memoryview) -> Iterable[Any]:
        # One object over a copy of all bytes; its elements keep it alive.
        found: list[Any] = (given * (len(data) // size)).from_buffer_copy(data)[:]
        return found

    return _fixed(size, values, lambda: _as_dtype(given))


def _numpy(given: Any) -> RecordType:
    dtype = _as_dtype(given)

    def values(data: memoryview) -> Iterable[Any]:
        import numpy as np

        return list(np.frombuffer(bytes(data), dtype))

    return _fixed(dtype.itemsize, values, lambda: dtype)


def _as_dtype(given: Any) -> Any:
    import numpy as np

    return np.dtype(given)


def _no_numpy() -> Any:
    raise TypeError("the records' type is not known: give read_array a dtype")


def _format_type(given: struct.Struct) -> Any:
    """The dtype of a struct format: fields f0, f1 and so on, at the places struct gives them."""
    import re

    order = given.format[0] if given.format[0] in "@=<>!" else "@"
    codes = ""
    fields: list[tuple[str, str, int]] = []
    for count, code in re.findall(r"(\d*)\s*([a-zA-Z?])", given.format):
        repeats = 1 if code in "spx" else int(count or 1)
        for _ in range(repeats):
            piece = f"{count}{code}" if code in "spx" else code
            codes += piece
            at = struct.calcsize(order + codes)
            size = struct.calcsize(f"={piece}") if order != "@" else struct.calcsize(piece)
            if code != "x":
                kind = f"S{size}" if code in "sp" else f"{'=' if order == '@' else order}{code}"
                fields.append((f"f{len(fields)}", kind.replace("!", ">"), at - size))
    names, formats, offsets = zip(*fields, strict=True)
    return _as_dtype({
        "names": names, "formats": formats, "offsets": offsets, "itemsize": given.size,
    })  # fmt: skip


def _has_fields(given: Any) -> bool:
    """Whether it is a class of data classes or of named tuples."""
    is_tuple = isinstance(given, type) and issubclass(given, tuple) and hasattr(given, "_fields")
    return dataclasses.is_dataclass(given) or is_tuple


def _class(given: Any) -> tuple[Record, Making]:
    """A class as C lays a struct with its fields out, and how one is made.

    A field's type is one of ctypes' numbers, another such class, or Annotated: with a C type's
    name, `Annotated[int, "u32"]`, or a number of bytes, `Annotated[bytes, 16]`.
    """
    hints = get_type_hints(given, include_extras=True)
    is_data = dataclasses.is_dataclass(given)
    names = [each.name for each in dataclasses.fields(given)] if is_data else given._fields
    fields, inner, at, widest = [], {}, 0, 1
    for name in names:
        shape = _field_shape(f"{given.__name__}.{name}", hints.get(name))
        if isinstance(shape, Record) and _has_fields(hints[name]):
            inner[name] = _class(hints[name])[1]
        alignment = _alignment(shape)
        at = -(-at // alignment) * alignment
        fields.append(Field(name, shape, 8 * at))
        at, widest = at + shape.size, max(widest, alignment)
    record = Record(given.__name__, -(-at // widest) * widest, tuple(fields))
    return record, making_of(given, tuple(names), inner)


def _field_shape(what: str, hint: Any) -> Shape:
    if get_origin(hint) is Annotated:
        python, said, *_ = get_args(hint)
        if isinstance(said, int) and said > 0:
            return Text(said) if python is bytes else Octets(said)
        number = _NUMBERS.get(str(said).removeprefix("__"))
        if number is not None:
            return Number(*number)
    if isinstance(hint, type) and _has_fields(hint):
        return _class(hint)[0]
    if isinstance(hint, type) and issubclass(hint, ctypes._SimpleCData | ctypes.Array):
        kind: Any = hint
        if issubclass(hint, ctypes.Array) and kind._type_ is ctypes.c_char:
            return Text(kind._length_)
        return shape_of_ctypes(hint)
    message = f"the type of {what} says no size"
    example = 'write Annotated[int, "u32"] or Annotated[bytes, 16]'
    raise EncodeError(error("event-record", message, hint=example))


def _alignment(shape: Shape) -> int:
    match shape:
        case Number():
            return shape.size
        case Row(element=element):
            return _alignment(element)
        case Record(fields=fields):
            return max((_alignment(field.shape) for field in fields), default=1)
        case _:
            return 1
