"""Assembly text to IR and back: the only room that knows how instructions are written."""

from ebpfasm.asm.assemble import assemble
from ebpfasm.asm.printer import print_collection, print_program, text_of

__all__ = ["assemble", "print_collection", "print_program", "text_of"]
