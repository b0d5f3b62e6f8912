"""`ebpfasm example`: the examples that come with the project, run where a newcomer stands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

import ebpfasm
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.cli.files import json_option
from ebpfasm.cli.groups import Group
from ebpfasm.errors import EbpfError, error


def folder() -> Path:
    """The examples' folder: at the top of a checkout, inside the package where it is installed."""
    package = Path(ebpfasm.__file__).parent
    for place in (package.parent, package):
        if (place / "examples" / "stage.py").is_file():
            return place / "examples"
    raise EbpfError(error("file-missing", "the examples are not installed with this package"))


def names() -> dict[str, str]:
    """The examples that can be run, with the first line of what each says of itself."""
    found = {}
    for path in sorted(folder().glob("*/run.py")):
        text = path.read_text(encoding="utf-8")
        found[path.parent.name] = text.split('"""')[1].strip().split("\n")[0]
    return found


@click.group("example", cls=Group)
def example_command() -> None:
    """List the examples and run them."""


@example_command.command("list")
@json_option
def list_examples(as_json: bool) -> None:
    """Say which examples there are and what each shows."""
    found = names()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(len(name) for name in found)
    for name, says in found.items():
        click.echo(f"{name:<{width}}  {says}")
    click.echo(f"\nProgram, runner and README of each lie in {folder()}")


@example_command.command(
    "run",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("name", metavar="NAME")
@click.argument("words", metavar="[OPTIONS]", nargs=-1, type=click.UNPROCESSED)
def run_example(name: str, words: tuple[str, ...]) -> None:
    """Run the example NAME; its own OPTIONS follow (`--help` shows them).

    Without `--iface` an example plays on a pair of interfaces in namespaces that it makes itself,
    with traffic, and leaves nothing behind.
    """
    found = names()
    if name not in found:
        hint = did_you_mean(name, found) or "ebpfasm example list shows them"
        raise EbpfError(error("cli-usage", f"there is no example {name}", hint=hint))
    top = str(folder().parent)
    # The example runs as a process of its own, with its signals and its way out. The folder comes
    # last in the path: nothing in it takes the place of another module.
    code = (
        "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    sys.stdout.flush()
    os.execv(
        sys.executable, [sys.executable, "-P", "-c", code, top, f"examples.{name}.run", *words]
    )
