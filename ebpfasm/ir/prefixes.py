"""Keys of LPM tries: networks of `ipaddress`, or a length with bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.given import raw_of

if TYPE_CHECKING:
    import numpy as np

    from ebpfasm.ir.values import Buffer, Codec

_LENGTH = 4  # bytes of the prefix length, in the machine's byte order; then the data, big-endian

# Data of these sizes are addresses: bytes -> version of IP.
_VERSIONS = {4: 4, 16: 6}


@dataclass(frozen=True, slots=True)
class Prefix:
    """A key of `size` bytes: the length of the prefix in bits, and what it is a prefix of.

    With 4 or 16 bytes of data it is a network of `ipaddress`, otherwise a tuple of the length
    and the bytes. `typed` is what BTF says of the key, whose dicts are taken too.
    """

    what: str
    size: int
    typed: Codec | None = None

    integer = signed = False

    @property
    def _bytes(self) -> int:
        return self.size - _LENGTH

    def pack(self, value: Any) -> bytes | bytearray:
        """Turn a network, an address (all its bits), their text, or (length, bytes) into a key.

        Raises EncodeError where it is none, has bits behind its length, or is of the other IP.
        """
        raw = raw_of(value)
        if raw is not None:
            if raw.nbytes != self.size:
                raise self._misfit(f"{raw.nbytes} bytes were given")
            return bytes(raw)
        if type(value) is tuple and len(value) == 2:
            return self._pair(*value)
        if self.typed is not None and not isinstance(value, str) and not _is_address(value):
            return self.typed.pack(value)
        if self._bytes not in _VERSIONS:
            raise self._misfit(f"{value!r} was given")
        return self._network(value)

    def _pair(self, length: Any, data: Any) -> bytes:
        raw = raw_of(data)
        if not isinstance(length, int) or raw is None or raw.nbytes != self._bytes:
            raise self._misfit(f"{(length, data)!r} was given")
        if not 0 <= length <= 8 * self._bytes:
            raise self._misfit(f"a length of {length} was given")
        return struct.pack("=I", length) + bytes(raw)

    def _network(self, value: Any) -> bytes:
        import ipaddress

        if isinstance(value, ipaddress.IPv4Interface | ipaddress.IPv6Interface):
            value = value.network
        if not isinstance(value, str) and not _is_address(value):
            raise self._misfit(f"{value!r} was given")
        try:
            network = ipaddress.ip_network(value)
        except (ValueError, TypeError) as problem:
            raise self._misfit(str(problem)) from None
        if network.version != _VERSIONS[self._bytes]:
            hint = None
            if network.version == 4:
                length = 96 + network.prefixlen
                hint = f"IPv4 in IPv6 is written ::ffff:{network.network_address}/{length}"
            raise self._misfit(f"{str(network)!r} was given", hint)
        return struct.pack("=I", network.prefixlen) + network.network_address.packed

    def unpack(self, raw: Buffer) -> Any:
        """Turn the kernel's bytes into a network, or the length and bytes."""
        import ipaddress

        (length,) = struct.unpack_from("=I", raw)
        data = bytes(raw[_LENGTH : self.size])
        match self._bytes:
            case 4:
                return ipaddress.IPv4Network((data, length), strict=False)
            case 16:
                return ipaddress.IPv6Network((data, length), strict=False)
            case _:
                return length, data

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` keys, each `stride` bytes behind the one before, into a list."""
        view = memoryview(raw)
        return [self.unpack(view[at : at + self.size]) for at in range(0, count * stride, stride)]

    def dtype(self) -> np.dtype[Any]:
        """The BTF type's dtype, else a record of `prefixlen` and `data`."""
        import numpy as np

        if self.typed is not None:
            return self.typed.dtype()
        return np.dtype([("prefixlen", np.uint32), ("data", np.uint8, (self._bytes,))])

    def _misfit(self, given: str, hint: str | None = None) -> EncodeError:
        takes = f"is the length of a prefix and {self._bytes} bytes"
        if version := _VERSIONS.get(self._bytes):
            takes = f"is an IPv{version} network, or {self.size} bytes"
        return EncodeError(error("map-value", f"the {self.what} {takes}; {given}", hint=hint))


def _is_address(value: Any) -> bool:
    return hasattr(value, "version") and hasattr(value, "max_prefixlen")
