"""What ends a run with a sentence instead of a traceback."""

from __future__ import annotations

import os
import shutil
import sys


class Failed(Exception):
    """The machine could not be started, or died."""


def say(text: str) -> None:
    """Print a line for people; standard output is the command's."""
    print(f"kernel-vm: {text}", file=sys.stderr, flush=True)


def need(program: str, package: str) -> str:
    """The path of a program. Raises Failed that names the package it comes in."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Failed(f"{program} is missing (Debian package {package})")
    return found
