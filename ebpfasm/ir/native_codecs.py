"""The native core's decoders for what keys and values of maps look like."""

from __future__ import annotations

from typing import Any

from ebpfasm.ir.classes import As
from ebpfasm.ir.typed import Typed
from ebpfasm.ir.values import Codec, PerCpu, Plain


def codec_decoder(objects: Any, codec: Codec) -> Any:
    """A Decoder that gives what the codec's `unpack` gives; `objects` is the module of Decoders."""
    match codec:
        case Plain(integer=True):
            return objects.Decoder(codec.code)
        case Plain():
            return objects.Decoder("s", codec.size)
        case Typed(decoder=objects.Decoder() as found) | As(decoder=objects.Decoder() as found):
            return found
        case PerCpu():
            each = codec_decoder(objects, codec.each)
            return objects.Decoder("row", each, codec.cpus, codec.stride, True)
        case _:
            return objects.Decoder("call", codec.unpack, objects.Decoder("s", codec.size))
