"""`ebpfasm-conformance`: the plugin that the bpf_conformance runner asks.

Its protocol: the program as hexadecimal digits on standard input, the memory that r1 points to
(r2 is its length) as hexadecimal digits in the first argument; all 64 bits of r0 are printed in
hexadecimal. A program that is no program, or does what it must not, is told on standard error
and ends with status 1.
"""

from __future__ import annotations

import sys

from ebpfasm.errors import EbpfError, error

USAGE = "usage: ebpfasm-conformance [MEMORY] [--reference] < PROGRAM   (both hexadecimal)"


def main(arguments: list[str] | None = None) -> None:
    """Run the program on standard input and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    words = [word for word in given if not word.startswith("--")]
    options = {word for word in given if word.startswith("--")}
    if options - {"--reference", "--debug"} or len(words) > 1:
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    try:
        memory = _bytes(words[0] if words else "", "memory")
        code = _bytes(sys.stdin.read(), "program")
        print(f"{result(code, memory, native='--reference' not in options):x}")
    except EbpfError as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)


def result(code: bytes, memory: bytes, *, native: bool = True) -> int:
    """What r0 holds after a program ran over memory. Raises DecodeError, LinkError, VmError."""
    from ebpfasm import ir
    from ebpfasm.runtime.running.once import virtual_machine

    program = ir.lift(ir.decode(code))
    return virtual_machine(program, native=native).execute(memory)


def _bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        message = f"the {what} is not pairs of hexadecimal digits"
        raise EbpfError(error("cli-usage", message)) from None


if __name__ == "__main__":
    main()
