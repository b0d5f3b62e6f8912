"""Atomic operations: RFC 9669 section 5.3, and Linux's loads and stores with memory order."""

from __future__ import annotations

from ebpfasm.dsl.operands import Offset, Register
from ebpfasm.dsl.stream import Stream


class Atomics(Stream):
    """Methods that change memory at base + off in one step that no other CPU sees halfway."""

    __slots__ = ()

    # 5.3 Atomic operations, 64 bits

    def atomic_add64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory += src."""
        self._put("atomic_add64", dst=base, off=off, src=src)

    def atomic_or64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory |= src."""
        self._put("atomic_or64", dst=base, off=off, src=src)

    def atomic_and64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory &= src."""
        self._put("atomic_and64", dst=base, off=off, src=src)

    def atomic_xor64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory ^= src."""
        self._put("atomic_xor64", dst=base, off=off, src=src)

    def atomic_fetch_add64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory += src; src gets the old value."""
        self._put("atomic_fetch_add64", dst=base, off=off, src=src)

    def atomic_fetch_or64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory |= src; src gets the old value."""
        self._put("atomic_fetch_or64", dst=base, off=off, src=src)

    def atomic_fetch_and64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory &= src; src gets the old value."""
        self._put("atomic_fetch_and64", dst=base, off=off, src=src)

    def atomic_fetch_xor64(self, base: Register, off: Offset, src: Register) -> None:
        """Memory ^= src; src gets the old value."""
        self._put("atomic_fetch_xor64", dst=base, off=off, src=src)

    def xchg64(self, base: Register, off: Offset, src: Register) -> None:
        """Swap memory and src."""
        self._put("xchg64", dst=base, off=off, src=src)

    def cmpxchg64(self, base: Register, off: Offset, src: Register) -> None:
        """Store src if memory equals R0; R0 gets the old value."""
        self._put("cmpxchg64", dst=base, off=off, src=src)

    # 5.3 Atomic operations, 32 bits

    def atomic_add32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory += src."""
        self._put("atomic_add32", dst=base, off=off, src=src)

    def atomic_or32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory |= src."""
        self._put("atomic_or32", dst=base, off=off, src=src)

    def atomic_and32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory &= src."""
        self._put("atomic_and32", dst=base, off=off, src=src)

    def atomic_xor32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory ^= src."""
        self._put("atomic_xor32", dst=base, off=off, src=src)

    def atomic_fetch_add32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory += src; src gets the old value, zero-extended."""
        self._put("atomic_fetch_add32", dst=base, off=off, src=src)

    def atomic_fetch_or32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory |= src; src gets the old value, zero-extended."""
        self._put("atomic_fetch_or32", dst=base, off=off, src=src)

    def atomic_fetch_and32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory &= src; src gets the old value, zero-extended."""
        self._put("atomic_fetch_and32", dst=base, off=off, src=src)

    def atomic_fetch_xor32(self, base: Register, off: Offset, src: Register) -> None:
        """Memory ^= src; src gets the old value, zero-extended."""
        self._put("atomic_fetch_xor32", dst=base, off=off, src=src)

    def xchg32(self, base: Register, off: Offset, src: Register) -> None:
        """Swap memory and src; src is zero-extended."""
        self._put("xchg32", dst=base, off=off, src=src)

    def cmpxchg32(self, base: Register, off: Offset, src: Register) -> None:
        """Store src if memory equals R0's lower half; R0 gets the old value, zero-extended."""
        self._put("cmpxchg32", dst=base, off=off, src=src)

    # Linux: loads and stores with memory order

    def load_acquire8(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 8 bits with acquire order, zero-extended."""
        self._put("load_acquire8", dst=dst, src=base, off=off)

    def load_acquire16(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 16 bits with acquire order, zero-extended."""
        self._put("load_acquire16", dst=dst, src=base, off=off)

    def load_acquire32(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 32 bits with acquire order, zero-extended."""
        self._put("load_acquire32", dst=dst, src=base, off=off)

    def load_acquire64(self, dst: Register, base: Register, off: Offset) -> None:
        """Load 64 bits with acquire order."""
        self._put("load_acquire64", dst=dst, src=base, off=off)

    def store_release8(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 8 bits of src with release order."""
        self._put("store_release8", dst=base, off=off, src=src)

    def store_release16(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 16 bits of src with release order."""
        self._put("store_release16", dst=base, off=off, src=src)

    def store_release32(self, base: Register, off: Offset, src: Register) -> None:
        """Store the low 32 bits of src with release order."""
        self._put("store_release32", dst=base, off=off, src=src)

    def store_release64(self, base: Register, off: Offset, src: Register) -> None:
        """Store src with release order."""
        self._put("store_release64", dst=base, off=off, src=src)
