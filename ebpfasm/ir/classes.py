"""Keys and values as classes of the user's choice instead of ints, bytes and dicts."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.decoding import Decoder, decoder
from ebpfasm.ir.making import Making, making_of
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, difference, said
from ebpfasm.ir.typed import Typed
from ebpfasm.ir.values import Buffer, Codec, PerCpu, Plain

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class As:
    """Another look of `codec`: `make` takes the bytes of one, `give` goes back as far as needed.

    Where `decoder` is given it makes many, and `make` is its `one`.
    """

    codec: Codec
    make: Callable[[bytes], Any]
    give: Callable[[Any], Any]
    decoder: Decoder | None = None

    integer = signed = False

    @property
    def what(self) -> str:
        """Its name in messages."""
        return self.codec.what

    @property
    def size(self) -> int:
        """Bytes."""
        return self.codec.size

    def pack(self, value: Any) -> bytes | bytearray:
        """Turn an object of the class, or what the map takes anyway, into bytes."""
        return self.codec.pack(self.give(value))

    def unpack(self, raw: Buffer) -> Any:
        """Make an object of the class, with memory of its own."""
        return self.make(bytes(raw[: self.codec.size]))

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Make `count` objects."""
        if self.decoder is not None:
            return self.decoder.many(raw, count, stride)
        view = memoryview(raw)
        return [self.unpack(view[at:]) for at in range(0, count * stride, stride)]

    def dtype(self) -> np.dtype[Any]:
        """The dtype of what lies in the map."""
        return self.codec.dtype()


def adapted(codec: Codec, wanted: Any) -> Codec:
    """The codec whose values are of the class `wanted`; of per-CPU values each CPU's.

    Dataclasses, named tuples, enumerations, ctypes and numpy types, addresses of `ipaddress`,
    int and bytes are taken. Raises EncodeError, which names the field in which class and map
    differ; TypeError for what is no such class.
    """
    if isinstance(codec, PerCpu):
        return PerCpu(adapted(codec.each, wanted), codec.cpus)
    if wanted is bytes:
        return Plain(codec.what, codec.size, integer=False)
    if wanted is int:
        if codec.size not in (1, 2, 4, 8):
            raise _differs(codec, wanted, f"it has {codec.size} bytes")
        return Plain(codec.what, codec.size, integer=True, signed=codec.signed)
    if _is_numpy(wanted):
        return _numpy(codec, wanted)
    if not isinstance(wanted, type):
        raise TypeError(f"{wanted!r} is no class or dtype")
    if issubclass(wanted, Enum):
        return As(codec, lambda raw: wanted(codec.unpack(raw)), _same)
    if _is_ctypes(wanted):
        return _ctypes(codec, wanted)
    if hasattr(wanted, "max_prefixlen") and hasattr(wanted, "packed"):
        return As(codec, wanted, lambda value: getattr(value, "packed", value))
    if dataclasses.is_dataclass(wanted) or hasattr(wanted, "_fields"):
        read = _by_names(codec, wanted)
        return As(codec, read.one, _same, read)
    raise TypeError(f"{wanted.__name__} is no dataclass, named tuple, ctypes or numpy type")


def _same(value: Any) -> Any:
    return value


def _differs(codec: Codec, wanted: Any, how: str, hint: str | None = None) -> EncodeError:
    name = getattr(wanted, "__name__", repr(wanted))
    message = f"the {codec.what} cannot be a {name}: {how}"
    return EncodeError(error("map-value", message, hint=hint))


def _shape(codec: Codec) -> Shape | None:
    match codec:
        case Typed(shape=shape):
            return shape
        case Plain(integer=True):
            return Number(codec.size, codec.signed)
        case _:
            return None


def _check(codec: Codec, wanted: Any, size: int, shape: Shape) -> None:
    if size != codec.size:
        raise _differs(codec, wanted, f"it has {codec.size} bytes and not {size}")
    own = _shape(codec)
    if isinstance(codec, Plain) and codec.integer and not isinstance(shape, Number):
        return  # a size without a type says nothing
    how = difference(own, shape) if own is not None else None
    if how is not None:
        raise _differs(codec, wanted, how)


# ---- numpy


def _is_numpy(wanted: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    return isinstance(wanted, numpy.dtype) or (
        isinstance(wanted, type) and issubclass(wanted, numpy.generic)
    )


def _numpy(codec: Codec, wanted: Any) -> Codec:
    import numpy as np

    from ebpfasm.ir.dtypes import shape_of_dtype

    dtype = np.dtype(wanted)
    _check(codec, wanted, dtype.itemsize, shape_of_dtype(dtype))
    return As(codec, lambda raw: np.frombuffer(raw, dtype)[0], _same)


# ---- ctypes


def _is_ctypes(wanted: type) -> bool:
    import ctypes

    kinds = (ctypes.Structure, ctypes.Union, ctypes.Array, ctypes._SimpleCData)
    return issubclass(wanted, kinds)


def _ctypes(codec: Codec, wanted: Any) -> Codec:
    import ctypes

    _check(codec, wanted, ctypes.sizeof(wanted), shape_of_ctypes(wanted))
    return As(codec, wanted.from_buffer_copy, _same)


def shape_of_ctypes(wanted: Any) -> Shape:
    """The shape of a ctypes class, to be compared with a map's own."""
    import ctypes

    size = ctypes.sizeof(wanted)
    if issubclass(wanted, ctypes.Structure | ctypes.Union):
        return Record(wanted.__name__, size, tuple(_ctypes_fields(wanted, 0)))
    if issubclass(wanted, ctypes.Array):
        element = shape_of_ctypes(wanted._type_)
        octets = isinstance(element, Number) and element.size == 1 and not element.signed
        return Octets(size) if octets else Row(element, wanted._length_)
    code = wanted._type_
    if code == "c":
        return Number(1)
    kind = {"f": "float", "d": "float", "?": "bool"}.get(code, "int")
    return Number(size, code in "bhilq", kind)  # type: ignore[arg-type]


def _ctypes_fields(wanted: Any, start: int) -> list[Field]:
    found = []
    for owner in reversed(wanted.__mro__):
        unnamed = owner.__dict__.get("_anonymous_", ())
        for name, kind, *bits in owner.__dict__.get("_fields_", ()):
            place = getattr(wanted, name)
            if bits:  # size and place of a bit-field are in one number, the place in the low half
                offset = 8 * place.offset + (place.size & 0xFFFF)
                found.append(Field(name, shape_of_ctypes(kind), start + offset, bits[0]))
            elif name in unnamed:
                found += _ctypes_fields(kind, start + 8 * place.offset)
            else:
                found.append(Field(name, shape_of_ctypes(kind), start + 8 * place.offset))
    return found


# ---- classes whose fields have the names of the struct's


def _by_names(codec: Codec, wanted: Any) -> Decoder:
    shape = _shape(codec)
    if not isinstance(shape, Record):
        hint = "types come from BTF; without, use a ctypes structure or a numpy dtype"
        have = said(shape) if shape is not None else f"{codec.size} bytes of no known type"
        raise _differs(codec, wanted, f"it is {have}", hint)
    return decoder(shape, _making(codec, wanted, shape, ""))


def _making(codec: Codec, wanted: Any, shape: Record, path: str) -> Making:
    """How objects of the class are made; records inside go by the class's own hints."""
    names = _names(wanted)
    known = {each.name: each.shape for each in shape.fields}
    for name in names:
        if name not in known:
            raise _differs(codec, wanted, f"the map has no field {path}{name}")
    for name in known:
        if name not in names:
            raise _differs(codec, wanted, f"the class lacks field {path}{name}")
    hints = get_type_hints(wanted)
    inner = {
        name: made
        for name, each in known.items()
        if (made := _inner(codec, hints.get(name), each, f"{path}{name}.")) is not None
    }
    return making_of(wanted, names, inner)


def _names(wanted: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(wanted):
        return tuple(each.name for each in dataclasses.fields(wanted) if each.init)
    return tuple(wanted._fields)


def _inner(codec: Codec, hint: Any, shape: Shape, path: str) -> Making | None:
    """What is made of a field's value, None where the decoded one stays."""
    if isinstance(shape, Row) and get_origin(hint) in (list, tuple):
        element = _inner(codec, get_args(hint)[0], shape.element, path)
        kind = get_origin(hint)
        if element is None and kind is list:
            return None
        return Making(kind, "row", element=element)
    if not isinstance(hint, type):
        return None
    if issubclass(hint, Enum):
        return Making(hint, "value")
    if isinstance(shape, Record) and (dataclasses.is_dataclass(hint) or hasattr(hint, "_fields")):
        return _making(codec, hint, shape, path)
    return None
