"""Functions that call each other: packets and bytes per protocol and port."""

from __future__ import annotations

from pathlib import Path

from ebpfasm.runtime import loader
from examples import forms, stage
from examples.bpf_to_bpf import statistics

HERE = Path(__file__).parent


def main() -> None:
    """Print where the verifier finds each function, then the counters once a second."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    spec = forms.spec_of(HERE, options.form)
    with loader.load(spec, log_level=2) as collection:
        program = collection.programs["bpf_to_bpf"]
        functions = [line for line in program.log.splitlines() if line.startswith("func#")]
        stage.say(options, "\n".join(functions), functions=functions)
        statistics.watch(options, program, collection.maps)


if __name__ == "__main__":
    stage.guarded(main)
