"""Test an XDP program without attaching it: two frames in, two verdicts out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import ebpfasm
from examples.stage import guarded

PROGRAM = Path(__file__).with_name("drop_ipv6.s")
ETHERNET = bytes.fromhex("020000000001 020000000002")
FRAMES = {
    "IPv6": ETHERNET + bytes.fromhex("86dd") + bytes(50),
    "IPv4": ETHERNET + bytes.fromhex("0800") + bytes(50),
}


def main() -> None:
    """Run the program a thousand times on each frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1000, help="runs on each frame")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    program = ebpfasm.open(PROGRAM).programs["drop_ipv6"]
    why = ""
    for name, frame in FRAMES.items():
        run = ebpfasm.run(program, frame, repeat=options.repeat)
        if run.fallback and not (why or options.json):
            why = run.fallback
            print(f"the kernel may not be used here: {why}")
        if options.json:
            values = {"frame": name, "retval": run.retval, "ns": run.duration_ns}
            print(json.dumps({**values, "engine": run.engine}))
        else:
            print(f"{name}: returned {run.retval}, {run.duration_ns} ns a run in the {run.engine}")


if __name__ == "__main__":
    guarded(main)
