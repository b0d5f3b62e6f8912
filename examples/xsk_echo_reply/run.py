"""Answer ARP and ping for an address that no stack has, from an AF_XDP socket."""

from __future__ import annotations

from collections import Counter

from ebpfasm.runtime.xsk import XskSocket
from ebpfasm.runtime.xsk.answers import answer, hardware_address
from examples import requests, stage


def main() -> None:
    """Answer until the duration is over, or Ctrl-C."""
    parser = requests.parser(__doc__ or "")
    parser.add_argument("--ip", default=requests.ADDRESS, help="the address to answer for")
    parser.add_argument("--queue", type=stage.whole(0), default=0)
    options = parser.parse_args()
    ip = requests.address_of(options.ip)
    with (
        stage.stage(options) as here,
        XskSocket.open(here.interface, options.queue, mode=options.mode) as xsk,
    ):
        stage.say(options, f"{options.ip} is at {here.interface}", attached=here.interface)
        mac = hardware_address(here.interface)
        here.play(requests.arp(ip), requests.ping(mac, ip))
        answered: Counter[str] = Counter()
        for frame in requests.frames(here, xsk):
            kind = answer(frame.data, mac, ip)
            answered[kind or "ignored"] += 1
            if kind is not None:
                frame.send(kick=False)  # it goes out before the socket waits
        xsk.drain(5)
        stage.say(
            options,
            f"answered {answered['arp']:,} ARP and {answered['icmp']:,} echo requests, "
            f"ignored {answered['ignored']:,}{here.of_sent}",
            **{"arp": 0, "icmp": 0, "ignored": 0, **answered},
            sent=here.sent,
            zero_copy=xsk.zero_copy,
        )


if __name__ == "__main__":
    stage.guarded(main)
