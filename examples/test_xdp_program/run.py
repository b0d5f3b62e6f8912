"""Test an XDP program without attaching it: two frames in, two verdicts out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import ebpfasm
from examples import stage

Engine = Literal["kernel", "vm"]

PROGRAM = Path(__file__).with_name("drop_ipv6.s")
ETHERNET = bytes.fromhex("020000000001 020000000002")
FRAMES = {
    "IPv6": ETHERNET + bytes.fromhex("86dd") + bytes(50),
    "IPv4": ETHERNET + bytes.fromhex("0800") + bytes(50),
}


def main() -> None:
    """Run the program a thousand times on each frame, in the kernel and in the virtual machine."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--repeat", type=stage.whole(1), default=1000, help="runs on each frame")
    options = parser.parse_args()
    program = ebpfasm.open(PROGRAM).programs["drop_ipv6"]
    for engine in engines(program, options):
        for name, frame in FRAMES.items():
            run = ebpfasm.run(program, frame, repeat=options.repeat, engine=engine)
            stage.say(
                options,
                f"{name}: returned {run.retval}, {run.duration_ns} ns a run in the {run.engine}",
                frame=name, retval=run.retval, ns=run.duration_ns, engine=run.engine,
            )  # fmt: skip


def engines(program: ebpfasm.ProgramSpec, options: argparse.Namespace) -> tuple[Engine, ...]:
    """Both, or where the kernel may not be used the virtual machine alone, and why."""
    why = ebpfasm.run(program, FRAMES["IPv4"]).fallback
    if not why:
        return "kernel", "vm"
    stage.say(options, f"the kernel may not be used here: {why}", fallback=why)
    return ("vm",)


if __name__ == "__main__":
    stage.guarded(main)
