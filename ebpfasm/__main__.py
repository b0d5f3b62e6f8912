"""`python -m ebpfasm` is the `ebpfasm` command."""

from ebpfasm.cli import command

command()
