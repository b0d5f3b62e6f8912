"""Programs that go on in other programs: the statistics of bpf_to_bpf by tail calls."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from examples import forms, stage
from examples.bpf_to_bpf import statistics

HERE = Path(__file__).parent
TAILS = ("ipv4", "ipv6", "tcp", "udp")  # by their index in the map


def main() -> None:
    """Load five programs, put four into the array, attach the fifth, show the counters."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    with ebpfasm.load(forms.spec_of(HERE, options.form)) as collection:
        for index, name in enumerate(TAILS):
            collection.maps["tails"][index] = collection.programs[name]
        statistics.watch(options, collection.programs["entry"], collection.maps)


if __name__ == "__main__":
    stage.guarded(main)
