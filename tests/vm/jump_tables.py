"""Random programs that jump through tables, as text. Each ends, and the kernel can see that."""

from __future__ import annotations

from random import Random

VALUES = (6, 7, 8, 9)  # the registers that are computed with
OUTPUT = 8 * len(VALUES)
_OPERATIONS = ("+=", "-=", "*=", "^=", "|=", "&=")

HEAD = """
.section xdp
main:
    r2 = *(u32 *)(r1 + xdp_md.data)
    r3 = *(u32 *)(r1 + xdp_md.data_end)
    r4 = r2
    r4 += 64
    if r4 > r3 goto short
    *(u64 *)(r10 - 8) = r2
    r6 = *(u64 *)(r2 + 0)
    r7 = *(u64 *)(r2 + 8)
    r8 = *(u64 *)(r2 + 16)
    r9 = *(u64 *)(r2 + 24)
"""
TAIL = """
out:
    r2 = *(u64 *)(r10 - 8)
    *(u64 *)(r2 + 32) = r6
    *(u64 *)(r2 + 40) = r7
    *(u64 *)(r2 + 48) = r8
    *(u64 *)(r2 + 56) = r9
    r0 = r6
    r0 ^= r9
    exit
short:
    r0 = 0
    exit
"""


class Program:
    """One program's text. Jumps go forward only, so every path ends."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._tables = 0
        self.lines: list[str] = []

    def text(self) -> str:
        """The whole file."""
        functions = self._random.randrange(3)
        self.lines += HEAD.splitlines()
        self._blocks("b", "out", self._random.randrange(3, 9), functions)
        self.lines += TAIL.splitlines()
        if functions:
            self.lines.append(".text")
        for number in range(functions):
            self._function(number)
        return "\n".join(self.lines) + "\n"

    def _function(self, number: int) -> None:
        """A function of r1 and r2 that has tables of its own."""
        self.lines += [f".type f{number}, @function", f"f{number}:"]
        self.lines += ["    r6 = r1", "    r7 = r2", "    r8 = r2", "    r9 = r1"]
        self._blocks(f"f{number}_", "back", self._random.randrange(2, 5), 0)
        self.lines += ["back:", "    r0 = r6", "    r0 ^= r8", "    exit"]

    def _blocks(self, prefix: str, end: str, count: int, functions: int) -> None:
        for number in range(count):
            later = [f"{prefix}{each}" for each in range(number + 1, count)] + [end]
            if number:
                self.lines.append(f"{prefix}{number}:")
            for _ in range(self._random.randrange(1, 5)):
                self._compute()
            if functions and self._random.random() < 0.4:
                first, second = self._pick(), self._pick()
                callee = self._random.randrange(functions)
                self.lines += [f"    r1 = r{first}", f"    r2 = r{second}", f"    call f{callee}",
                               f"    r{self._pick()} += r0"]  # fmt: skip
            if self._random.random() < 0.75:
                self._jump(later)
        if not self.lines[-1].startswith("    gotox"):
            self.lines.append(f"    goto {end}")

    def _pick(self) -> int:
        return self._random.choice(VALUES)

    def _compute(self) -> None:
        operation = self._random.choice(_OPERATIONS)
        operand = self._random.choice((f"r{self._pick()}", str(self._random.randrange(-99, 99))))
        self.lines.append(f"    r{self._pick()} {operation} {operand}")

    def _jump(self, later: list[str]) -> None:
        """Jump through a table of 1 to 8 entries; what comes next stays reachable."""
        self._tables += 1
        name, size = f"table{self._tables}", 1 << self._random.randrange(4)
        entries = [later[0], *(self._random.choice(later) for _ in range(size - 1))]
        self._random.shuffle(entries)
        skip = self._random.randrange(2)
        place, goal = self._random.sample(range(1, 6), 2)
        if skip:
            number = self._random.randrange(9)
            self.lines.append(f"    if r{self._pick()} == {number} goto {later[0]}")
        self.lines += [
            f"    r{goal} = r{self._pick()}",
            f"    r{goal} &= {size - 1}",
            f"    r{goal} <<= 3",
            f"    r{place} = {name} ll",
            f"    r{place} += r{goal}",
            f"    r{goal} = *(u64 *)(r{place} + 0)",
            f"    .jumptable {name}, {', '.join(entries)}",
            f"    gotox r{goal}",
        ]


def text(seed: int) -> str:
    """A program's text by its seed."""
    return Program(seed).text()


def packets(seed: int, count: int) -> list[bytes]:
    """Packets that begin with 32 random bytes; half of the numbers in them are small."""
    random = Random(seed)
    return [
        b"".join(
            (random.randrange(16) if random.random() < 0.5 else random.getrandbits(64)).to_bytes(
                8, "little"
            )
            for _ in VALUES
        ).ljust(64, b"\0")
        for _ in range(count)
    ]
