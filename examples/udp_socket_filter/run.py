"""Filter what a UDP socket receives: datagrams to 127.0.0.1 pass, others do not."""

from __future__ import annotations

import argparse
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import ebpfasm
from ebpfasm.runtime.network.netlink import with_netlink
from ebpfasm.runtime.network.netns import Namespace
from examples import stage

PROGRAM = Path(__file__).with_name("udp_socket_filter.s")
TRIED = ("127.0.0.1", "127.0.0.5", "::1")


def main() -> None:
    """Listen on a port, with the program attached before anything can arrive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--listen", action="store_true", help="on this machine, for your datagrams")
    parser.add_argument("--duration", metavar="SECONDS", type=float, default=3.0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with ExitStack() as opened:
        if not options.listen:
            scratch = opened.enter_context(Namespace())
            opened.enter_context(scratch.entered())
            with_netlink(lambda netlink: netlink.link("set", index=1, state="up"))
        collection = opened.enter_context(ebpfasm.load(PROGRAM))
        listener = opened.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 too
        opened.enter_context(collection.programs["to_localhost"].attach_socket(listener))
        listener.bind(("::", options.port))
        stage.say(options, f"listening on port {options.port}", port=options.port)
        if not options.listen:
            send(options.port)
        listen(listener, options)


def send(port: int) -> None:
    """Send one datagram to each address that is tried, the one that passes last."""
    for address in reversed(TRIED):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(f"to {address}".encode(), (address, port))


def listen(listener: socket.socket, options: argparse.Namespace) -> None:
    """Print what arrives until the time is over."""
    end = time.monotonic() + options.duration
    while (left := end - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            data, peer = listener.recvfrom(2048)
        except TimeoutError:
            break
        text = data.decode("utf-8", "replace")
        stage.say(options, f"{peer[0]}: {text}", peer=peer[0], text=text)


if __name__ == "__main__":
    stage.guarded(main)
