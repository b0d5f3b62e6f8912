"""A firewall whose rules are given at run time: networks in tries, ports in generated code."""

from __future__ import annotations

import argparse
from ipaddress import IPv4Network, IPv6Network, ip_network

import ebpfasm
from ebpfasm.runtime.collection import Collection
from examples import stage
from examples.frames import IPV4, IPV6, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from examples.xdp_firewall.program import PROTOCOLS, VERDICTS, Port, build

NETWORKS, PORTS = ("10.66.0.0/16", "fd00:66::/32"), ("udp/4001", "tcp/23")
LATER = IPv4Network("10.3.0.0/16")  # blocked on a scratch pair when half of the time is over

# What plays on a scratch pair: a frame for each rule, one for the later rule, and four that
# nothing speaks against.
TRAFFIC = (
    ethernet(IPV4, ipv4(UDP, udp(53), src="10.66.1.1")),
    ethernet(IPV6, ipv6(TCP, tcp(80), src="fd00:66::1")),
    ethernet(IPV4, ipv4(UDP, udp(4001))),
    ethernet(IPV6, ipv6(TCP, tcp(23))),
    ethernet(IPV4, ipv4(UDP, udp(53), src="10.3.1.1")),
    ethernet(IPV4, ipv4(UDP, udp(53))),
    ethernet(IPV4, ipv4(TCP, tcp(4001))),
    ethernet(IPV6, ipv6(UDP, udp(23))),
    ethernet(0x0806, bytes(28)),
)


def main() -> None:
    """Build the program for the rules, attach it, and show its verdicts once a second."""
    parser = stage.parser(__doc__ or "")
    parser.add_argument("--network", type=network, action="append", metavar="PREFIX")
    parser.add_argument("--port", type=port, action="append", metavar="tcp|udp/NUMBER")
    options = parser.parse_args()
    networks = options.network or [network(each) for each in NETWORKS]
    spec = build(options.port or [port(each) for each in PORTS])
    with ebpfasm.load(spec) as collection:
        for each in networks:
            block(collection, each)
        with stage.attached(options, collection.programs["firewall"]) as here:
            here.play(*TRAFFIC)
            may_block = here.pair is not None and LATER not in networks
            is_blocked = False
            for seconds in here.seconds():
                counts = verdicts(collection)
                shown = ", ".join(f"{each} {packets:,}" for each, packets in counts.items())
                stage.say(options, f"{seconds:4.0f} s  {shown}", **counts)
                if may_block and not is_blocked and here.is_half_over(seconds):
                    block(collection, LATER)
                    is_blocked = True
                    stage.say(options, f"blocked {LATER} while running", blocked=str(LATER))
            here.finish(lambda: sum(verdicts(collection).values()))
            if is_blocked:
                unblock(collection, LATER)
                stage.say(options, f"let {LATER} in again", unblocked=str(LATER))
        counts = verdicts(collection)
        dropped = counts["by network"] + counts["by port"]
        stage.say(options, f"dropped {dropped:,} packets{here.of_sent}", sent=here.sent, **counts)


def block(collection: Collection, network: IPv4Network | IPv6Network) -> None:
    """Block a network, now."""
    collection.maps[f"networks{network.version}"][network] = 1


def unblock(collection: Collection, network: IPv4Network | IPv6Network) -> None:
    """Let a blocked network in again."""
    del collection.maps[f"networks{network.version}"][network]


def verdicts(collection: Collection) -> dict[str, int]:
    """How often the program came to each verdict, on all CPUs."""
    counts = collection.maps["verdicts"]
    return {each: sum(counts[key]) for key, each in enumerate(VERDICTS)}


def network(text: str) -> IPv4Network | IPv6Network:
    """A prefix such as 10.0.0.0/8."""
    try:
        return ip_network(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{problem}: write 10.0.0.0/8 or fd00::/8") from None


def port(text: str) -> Port:
    """A port such as tcp/23."""
    protocol, _, number = text.partition("/")
    if protocol not in PROTOCOLS or not number.isdigit() or int(number) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: write tcp/23 or udp/53")
    return protocol, int(number)


if __name__ == "__main__":
    stage.guarded(main)
