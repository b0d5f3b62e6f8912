"""Filter what a UDP socket receives: datagrams to 127.0.0.1 pass, others do not."""

from __future__ import annotations

import argparse
import socket
from contextlib import ExitStack
from pathlib import Path

import ebpfasm
from ebpfasm.runtime.network.netlink import with_netlink
from ebpfasm.runtime.network.netns import Namespace
from examples import forms, stage

HERE = Path(__file__).parent
TRIED = ("127.0.0.1", "127.0.0.5", "::1")


def main() -> None:
    """Listen on a port, with the program attached before anything can arrive."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--port", type=port, default=3000)
    parser.add_argument("--listen", action="store_true", help="on this machine, for your datagrams")
    stage.add_duration(parser, help="(without --listen: 3)")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    if options.duration is None and not options.listen:
        options.duration = 3.0
    with ExitStack() as opened:
        if not options.listen:
            scratch = opened.enter_context(Namespace())
            opened.enter_context(scratch.entered())
            with_netlink(lambda netlink: netlink.link("set", index=1, state="up"))
        here = opened.enter_context(stage.clock(options))
        collection = opened.enter_context(ebpfasm.load(forms.spec_of(HERE, options.form)))
        listener = opened.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 too
        opened.enter_context(collection.programs["to_localhost"].attach_socket(listener))
        listener.bind(("::", options.port))
        stage.say(options, f"listening on port {options.port}", port=options.port)
        if not options.listen:
            send(options.port)
        for data, peer in here.received(listener):
            text = data.decode("utf-8", "replace")
            stage.say(options, f"{peer[0]}: {text}", peer=peer[0], text=text)


def port(text: str) -> int:
    """A port's number."""
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port: write a number from 1 to 65535")
    return int(text)


def send(port: int) -> None:
    """Send one datagram to each address that is tried, the one that passes last."""
    for address in reversed(TRIED):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(f"to {address}".encode(), (address, port))


if __name__ == "__main__":
    stage.guarded(main)
