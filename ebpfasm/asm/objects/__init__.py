"""Whole files as LLVM's assembler reads them, to relocatable objects."""

from __future__ import annotations

from ebpfasm.asm.objects.assembler import assemble_object as assemble_object
