"""Capture ICMP alone, by a program on a packet socket, and write it as pcap."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import ebpfasm
from ebpfasm.analysis.vm import pcap
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.network.veth import VethPair
from examples import forms, stage
from examples.frames import ICMP, checksum

HERE = Path(__file__).parent
_ALL = 3  # ETH_P_ALL
_CLOSED = 9999  # a port that nobody listens on


def main() -> None:
    """Print each frame that the filter lets through."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--iface", metavar="NAME", help="capture here instead of a scratch pair")
    stage.add_duration(parser, help="(a scratch pair's is 3)")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the frames as pcap")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    if options.iface is None and options.duration is None:
        options.duration = 3.0
    with (
        nullcontext() if options.write is None else options.write.open("wb") as file,
        ebpfasm.load(forms.spec_of(HERE, options.form)) as collection,
        place(options) as (iface, talk),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as receiver,
        # The filter first, the interface after: nothing else slips in.
        collection.programs["icmp_only"].attach_socket(receiver),
        stage.clock(options) as here,
    ):
        receiver.bind((iface, _ALL))
        stage.say(options, f"capturing ICMP on {iface}", iface=iface)
        talk()
        frames = [shown(frame, options) for frame, _ in here.received(receiver)]
        if file is not None:
            file.write(pcap.write(frames))
    stage.say(options, f"{len(frames)} frames", frames=len(frames))


@contextmanager
def place(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], None]]]:
    """Where to capture, and what makes traffic there: pings, and a datagram to a closed port."""
    if options.iface is not None:
        yield interface(options.iface)[1], lambda: None
        return
    pair = VethPair(near_addresses=["10.0.0.1/24"], far_addresses=["10.0.0.2/24"])
    with pair, pair.near.entered():
        yield pair.near_name, lambda: traffic(pair)


def traffic(pair: VethPair) -> None:
    """Three pings and a datagram that nobody wants, from the far end."""
    with pair.far.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, ICMP)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with raw, datagrams:
        for number in range(1, 4):
            head = bytes([8, 0, 0, 0, 0, 1, 0, number])
            raw.sendto(head[:2] + checksum(head).to_bytes(2) + head[4:], ("10.0.0.1", 0))
        datagrams.sendto(b"anybody there?", ("10.0.0.1", _CLOSED))


def shown(frame: bytes, options: argparse.Namespace) -> bytes:
    """Print a frame: from whom to whom, and what kind of message."""
    kind, code = frame[34], frame[35]
    source, target = (socket.inet_ntoa(frame[at : at + 4]) for at in (26, 30))
    stage.say(
        options, f"{source} > {target}: ICMP type {kind} code {code}, {len(frame)} bytes",
        source=source, target=target, type=kind, code=code, length=len(frame),
    )  # fmt: skip
    return frame


if __name__ == "__main__":
    stage.guarded(main)
