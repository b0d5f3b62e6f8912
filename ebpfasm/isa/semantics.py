"""What every operation does to integers, said once. RFC 9669 sections 4.1 to 4.3 and 5.3.

Values are unsigned Python ints below 2**width. The virtual machine calls these with numbers,
the verifier when it knows both sides; the documents quote them.
"""

from __future__ import annotations

from collections.abc import Callable

Operation = Callable[[int, int, int], int]
Comparison = Callable[[int, int, int], bool]


def mask(width: int) -> int:
    """All ones in `width` bits."""
    return (1 << width) - 1


def signed(value: int, width: int) -> int:
    """The value as two's complement.

    >>> signed(0xFF, 8), signed(0x7F, 8)
    (-1, 127)
    """
    sign = 1 << (width - 1)
    return (value & mask(width) ^ sign) - sign


def sign_extend(value: int, from_width: int, to_width: int) -> int:
    """Widen a value, copying its sign bit (movsx, ldxs)."""
    return signed(value, from_width) & mask(to_width)


def swap_bytes(value: int, width: int) -> int:
    """Reverse the low width/8 bytes; what is above them becomes zero (be, le, bswap)."""
    return int.from_bytes((value & mask(width)).to_bytes(width // 8, "little"), "big")


def _sdiv(a: int, b: int, width: int) -> int:
    x, y = signed(a, width), signed(b, width)
    if y == 0:
        return 0
    quotient = abs(x) // abs(y)  # towards zero, as C does and Python does not
    return quotient if (x < 0) == (y < 0) else -quotient


def _smod(a: int, b: int, width: int) -> int:
    x, y = signed(a, width), signed(b, width)
    if y == 0:
        return a
    remainder = abs(x) % abs(y)  # sign of the dividend
    return -remainder if x < 0 else remainder


# Section 4.1: (dst, operand, width) -> new dst, before it is cut to the width.
_ALU: dict[str, Operation] = {
    "add": lambda a, b, width: a + b,
    "sub": lambda a, b, width: a - b,
    "mul": lambda a, b, width: a * b,
    "div": lambda a, b, width: a // b if b else 0,
    "sdiv": _sdiv,
    "or": lambda a, b, width: a | b,
    "and": lambda a, b, width: a & b,
    "lsh": lambda a, b, width: a << (b & width - 1),
    "rsh": lambda a, b, width: a >> (b & width - 1),
    "neg": lambda a, b, width: -a,
    "mod": lambda a, b, width: a % b if b else a,
    "smod": _smod,
    "xor": lambda a, b, width: a ^ b,
    "mov": lambda a, b, width: b,
    "arsh": lambda a, b, width: signed(a, width) >> (b & width - 1),
}

# Section 4.3: (dst, operand, width) -> whether the jump is taken.
_COMPARE: dict[str, Comparison] = {
    "jeq": lambda a, b, width: a == b,
    "jgt": lambda a, b, width: a > b,
    "jge": lambda a, b, width: a >= b,
    "jset": lambda a, b, width: a & b != 0,
    "jne": lambda a, b, width: a != b,
    "jsgt": lambda a, b, width: signed(a, width) > signed(b, width),
    "jsge": lambda a, b, width: signed(a, width) >= signed(b, width),
    "jlt": lambda a, b, width: a < b,
    "jle": lambda a, b, width: a <= b,
    "jslt": lambda a, b, width: signed(a, width) < signed(b, width),
    "jsle": lambda a, b, width: signed(a, width) <= signed(b, width),
}

# Section 5.3: (memory, src, width) -> new memory. The old memory is what FETCH hands back.
_ATOMIC: dict[str, Operation] = {
    "atomic_add": _ALU["add"],
    "atomic_or": _ALU["or"],
    "atomic_and": _ALU["and"],
    "atomic_xor": _ALU["xor"],
    "xchg": lambda a, b, width: b,
}

ALU_OPS = frozenset(_ALU)
COMPARE_OPS = frozenset(_COMPARE)
ATOMIC_OPS = frozenset(_ATOMIC)


def alu(op: str, dst: int, operand: int, width: int) -> int:
    """The result of an arithmetic operation on `width` bits, zero-extended.

    >>> hex(alu("arsh", 0x80000000, 4, 32))
    '0xf8000000'
    """
    low = mask(width)
    return _ALU[op](dst & low, operand & low, width) & low


def compare(op: str, dst: int, operand: int, width: int) -> bool:
    """Whether a conditional jump is taken.

    >>> compare("jslt", 0xFFFFFFFF, 0, 32), compare("jlt", 0xFFFFFFFF, 0, 32)
    (True, False)
    """
    low = mask(width)
    return _COMPARE[op](dst & low, operand & low, width)


def atomic(op: str, memory: int, operand: int, width: int) -> int:
    """The value that an atomic operation leaves in memory."""
    low = mask(width)
    return _ATOMIC[op](memory & low, operand & low, width) & low


def byte_order(op: str, value: int, width: int, *, little_endian_host: bool = True) -> int:
    """The result of le, be or bswap (section 4.2) on a host of the given byte order."""
    if op == "bswap" or (op == "be") == little_endian_host:
        return swap_bytes(value, width)
    return value & mask(width)
