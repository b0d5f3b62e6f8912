"""Programs that go on in other programs: the statistics of bpf_to_bpf by tail calls."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from ebpfasm.runtime.collection import Collection
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
        fill_tails(collection)
        statistics.watch(options, collection.programs["entry"], collection.maps)


def fill_tails(collection: Collection) -> None:
    """Put the programs into the array that tail calls look them up in."""
    for index, name in enumerate(TAILS):
        collection.maps["tails"][index] = collection.programs[name]


if __name__ == "__main__":
    stage.guarded(main)
