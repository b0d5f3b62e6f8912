"""`ebpfasm features`."""

from __future__ import annotations

import json

import pytest

from ebpfasm.runtime.features import features
from tests.cli.support import Command

pytestmark = pytest.mark.kernel


def test_the_command_prints_what_is_known(ebpfasm: Command) -> None:
    outcome = ebpfasm("features", "map_types", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert json.loads(outcome.out) == {"map_types": features().as_dict()["map_types"]}
    lines = ebpfasm("features").out.splitlines()
    assert lines[0] == "program types"
    assert lines[1].split() == ["name", "here", "since", "evidence"]
    assert lines[2].split()[:3] == ["socket_filter", "yes", "3.19"]
    lacking = json.loads(ebpfasm("features", "--type", "xdp", "--no", "--json").out)
    assert "bpf_skb_store_bytes" in lacking["helpers of xdp"]
    assert "bpf_xdp_adjust_head" not in lacking["helpers of xdp"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["map_type"], "did you mean map_types?"),
        (["--type", "xpd"], "did you mean xdp?"),
        (["--type", "xdp", "isa"], "give no category"),
    ],
)
def test_a_mistake_is_one_sentence(ebpfasm: Command, words: list[str], says: str) -> None:
    outcome = ebpfasm("features", *words)
    assert (outcome.status, outcome.out) == (1, "")
    assert says in outcome.err
