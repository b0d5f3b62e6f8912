"""The `ebpfasm` command. This room knows every other and nothing knows it.

Commands are modules of this package, imported when they are called, so that starting the
command costs little.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from importlib import import_module
from typing import NoReturn

# Starting makes many objects that stay; looking for garbage among them again and again takes a
# twentieth of the time. This stands before the imports that make them.
gc.set_threshold(50_000)

import click

from ebpfasm.cli.groups import Group
from ebpfasm.errors import EbpfError

# command -> module of this package.
COMMANDS = {
    "asm": "assemble",
    "disasm": "disassemble",
    "inspect": "inspect",
    "cfg": "cfg",
    "verify": "verify",
    "run": "run",
    "attach": "attach",
    "prog": "programs",
    "map": "maps",
    "link": "links",
    "btf": "types",
    "features": "features",
    "xsk": "xsk",
    "isa": "reference",
    "errors": "reference",
    "example": "example",
}


class _Commands(Group):
    """A group whose commands are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ebpfasm.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ebpfasm", prog_name="ebpfasm")
def group() -> None:
    """Write, check, run, load and attach eBPF programs."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 a mistake in what was given, 2 a mistake in the call."""
    try:
        group.main(arguments, prog_name="ebpfasm", standalone_mode=False)
    except EbpfError as problem:
        click.echo(str(problem), err=True)
        sys.exit(1)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def command() -> NoReturn:
    """What the `ebpfasm` script calls: `main`, and a quick way out.

    Python frees everything one by one at its end, which takes longer than assembling a small
    file does. What was registered to run at the end runs, and output is written.
    """
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    if isinstance(status, int) and threading.active_count() == 1:
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            sys.exit(status)
        os._exit(status)
    sys.exit(status)  # type: ignore[arg-type]
