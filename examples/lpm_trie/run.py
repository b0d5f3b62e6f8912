"""Count packets by the longest prefix of their source address, IPv4 and IPv6."""

from __future__ import annotations

import argparse
from ipaddress import ip_network
from pathlib import Path

import ebpfasm
from ebpfasm.runtime.collection import Collection
from examples import forms, stage
from examples.frames import IPV4, IPV6, UDP, ethernet, ipv4, ipv6, udp

HERE = Path(__file__).parent
PREFIXES = ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "fd00:1::/32")
SOURCES = ("10.1.2.3", "10.9.9.9", "192.0.2.1", "fd00:1::5", "fd00:2::5")


def main() -> None:
    """Count for a while, then take the longer IPv4 prefix away and count on."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    with ebpfasm.load(forms.spec_of(HERE, options.form)) as collection:
        for prefix in PREFIXES:
            trie_of(collection, prefix)[ip_network(prefix)] = 0
        with stage.attached(options, collection.programs["count"]) as here:
            here.play(*map(frame, SOURCES))
            for turn, _ in enumerate(here.seconds(), 1):
                show(collection, options)
                if turn == 2:
                    del collection.maps["prefixes4"][ip_network("10.1.0.0/16")]
                    stage.say(options, "10.1.0.0/16 is gone: 10.0.0.0/8 counts its packets")
            here.finish(lambda: sum(counts(collection).values()) * len(SOURCES) // 4)
        show(collection, options, sent=here.sent)


def frame(source: str) -> bytes:
    """A datagram from an address."""
    if ":" in source:
        return ethernet(IPV6, ipv6(UDP, udp(4001), src=source))
    return ethernet(IPV4, ipv4(UDP, udp(4001), src=source))


def trie_of(collection: Collection, prefix: str) -> ebpfasm.Map:
    """The map that holds prefixes of this version."""
    return collection.maps["prefixes6" if ":" in prefix else "prefixes4"]


def counts(collection: Collection) -> dict[str, int]:
    """Packets by prefix, for those that are still there."""
    return {
        str(prefix): packets
        for name in ("prefixes4", "prefixes6")
        for prefix, packets in collection.maps[name].items()
    }


def show(collection: Collection, options: argparse.Namespace, **more: object) -> None:
    """Print the counts."""
    now = counts(collection)
    stage.say(options, "  ".join(f"{key} {value:,}" for key, value in now.items()),
              counts=now, **more)  # fmt: skip


if __name__ == "__main__":
    stage.guarded(main)
