"""What a program becomes: bytes with relocations, text artefacts, BTF for the kernel.

`emit.debug` is imported where a program is loaded and not here: it brings the whole of btf.
"""

from ebpfasm.emit.code import Image, Relocation, encode, image
from ebpfasm.emit.text import c_array, c_header, c_instructions, hex_text

__all__ = [
    "Image",
    "Relocation",
    "c_array",
    "c_header",
    "c_instructions",
    "encode",
    "hex_text",
    "image",
]
