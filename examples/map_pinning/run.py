"""Maps that outlive the process that made them: pins in the BPF file system."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from ebpfasm import LoadError, Map, MapSpec
from ebpfasm.runtime import bpffs
from examples import stage

SPEC = MapSpec("counters", "array", 4, 8, 100, key="u32", value="u64")
NAMES = ("gei", "def")


def main() -> None:
    """Pin two maps, close them, find them again, and leave nothing behind."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--folder", type=Path, help="in a BPF file system (default: a new one)")
    options = parser.parse_args()
    with stage.clock(options):  # Ctrl-C waits for the end, so that no pin is left
        play(options)


def play(options: argparse.Namespace) -> None:
    """Pin, find again, refuse, and unpin."""
    bpffs.mount()
    folder = options.folder or Path(bpffs.DEFAULT) / f"ebpfasm-{os.getpid()}" / "abc"
    made = bpffs.make_folders(str(folder / NAMES[0]))
    pinned: dict[Path, int] = {}
    try:
        for name in NAMES:
            with Map.create(SPEC) as counters:
                counters[0] = 7
                counters.pin(folder / name)
                pinned[folder / name] = counters.info().id
        stage.say(
            options, f"pinned {', '.join(NAMES)} in {folder}, and closed them", folder=str(folder)
        )
        for name in NAMES:
            with Map.open(folder / name, SPEC) as found:
                found[0] += 1
                stage.say(
                    options, f"{name}: found again with {found[0]}", name=name, value=found[0]
                )
        try:
            Map.open(folder / NAMES[0], replace(SPEC, type="hash", max_entries=50)).close()
        except LoadError as refusal:
            stage.say(options, f"as another map: {refusal.diagnostics[0].message}",
                      refused=refusal.diagnostics[0].message)  # fmt: skip
    finally:
        for pin, number in pinned.items():
            unpin(pin, number)
        bpffs.remove_folders(made)
    stage.say(options, f"unpinned; {folder} is there: {folder.exists()}", left=folder.exists())


def unpin(pin: Path, number: int) -> None:
    """Remove a pin if it is still that map's.

    `Map.unpin` does so too, and removes the folder when it is empty; here that may be a user's.
    """
    with Map.open(pin) as found:
        is_ours = found.info().id == number
    if is_ours:
        pin.unlink()


if __name__ == "__main__":
    stage.guarded(main)
