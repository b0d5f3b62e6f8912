"""Columns of keys and values as numpy arrays, over the very bytes that the kernel wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfasm.errors import EncodeError, error
from ebpfasm.ir.values import Codec, PerCpu

if TYPE_CHECKING:
    import numpy as np


class Arrays(NamedTuple):
    """Keys and values, a row an item.

    Values of per-CPU maps have a column for each possible CPU.
    """

    keys: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]


def seen_as(codec: Codec, raw: Any, count: int) -> np.ndarray[Any, Any]:
    """The first `count` items of a buffer as an array, without a copy."""
    import numpy as np

    dtype = codec.dtype()
    if isinstance(codec, PerCpu):
        shape, strides = (count, codec.cpus), (codec.size, codec.stride)
        return np.ndarray(shape, dtype, raw, 0, strides)
    return np.ndarray((count,), dtype, raw)


def raw_column(codec: Codec, given: Any) -> np.ndarray[Any, Any]:
    """The bytes of a column, an array or a sequence of Python values, as the kernel takes them.

    Raises EncodeError where a value does not fit, or the array is of another type.
    """
    import numpy as np

    if not isinstance(given, np.ndarray):
        given = given if isinstance(given, list | tuple) else list(given)
        return np.frombuffer(b"".join(codec.pack(each) for each in given), np.uint8)
    dtype = codec.dtype()
    if isinstance(codec, PerCpu):
        if given.ndim < 2 or given.shape[1] != codec.cpus:
            raise _misfit(codec, f"a column of {codec.cpus} for each item", given)
        filled = np.zeros(len(given) * codec.size, np.uint8)
        seen_as(codec, filled, len(given))[...] = _converted(codec.each, given, dtype)
        return filled
    return _converted(codec, given, dtype).reshape(-1).view(np.uint8)


def _converted(codec: Codec, given: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """The array with exactly this dtype."""
    import numpy as np

    element = dtype.base if dtype.subdtype is not None else dtype
    if given.dtype == element and given.shape[given.ndim - len(dtype.shape) :] == dtype.shape:
        return np.ascontiguousarray(given)
    if given.dtype == np.uint8 and given.ndim > 1 and given.shape[-1] == codec.size:
        return np.ascontiguousarray(given)  # the bytes themselves
    if dtype.names is None and dtype.subdtype is None and given.dtype.kind in "iufb":
        return _numbers(codec, given, dtype)
    if dtype.names is not None and given.dtype.names == dtype.names:
        made = np.zeros(given.shape, dtype)
        for name in dtype.names:
            field = dtype.fields[name][0]
            part = made[name]
            part[...] = _field(codec, given, name, field)
        return made
    raise _misfit(codec, f"of dtype {dtype}", given)


def _numbers(codec: Codec, given: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        made = given.astype(dtype)
    # A comparison of unsigned with signed may round, but then the sign gives it away.
    wrong = (made != given) | ((made < 0) != (given < 0))
    if wrong.any():
        codec.pack(given[wrong].reshape(-1)[0].item())  # says what it takes
        raise _misfit(codec, f"of dtype {dtype}", given)
    return made


def _field(codec: Codec, given: np.ndarray[Any, Any], name: str, field: Any) -> Any:
    import numpy as np

    part = given[name]
    if not np.can_cast(part.dtype, field.base, "safe"):
        made = part.astype(field.base) if part.dtype.kind in "iufb" else None
        if made is None or (made != part).any() or ((made < 0) != (part < 0)).any():
            message = (
                f"the {codec.what}: field {name} is of dtype {field}; {part.dtype} was given, "
                "with what does not fit"
            )
            raise EncodeError(error("map-value", message))
    return part


def _misfit(codec: Codec, takes: str, given: np.ndarray[Any, Any]) -> EncodeError:
    theirs, own = set(given.dtype.names or ()), set(codec.dtype().names or ())
    what = f"{given.dtype} of shape {given.shape}"
    message = f"the {codec.what} in an array is {takes}; {what} was given"
    if theirs and own and theirs != own:
        message += f" (not in both: field {', '.join(sorted(theirs ^ own))})"
    return EncodeError(error("map-value", message))
