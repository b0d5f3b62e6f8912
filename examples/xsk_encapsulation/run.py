"""Send frames on inside a tunnel: the outer header grows into the frame's headroom, no copy."""

from __future__ import annotations

import struct

from ebpfasm.runtime.xsk import Frame, XskSocket
from ebpfasm.runtime.xsk.answers import hardware_address
from examples import requests, stage

ETHERNET, IPIP, UDP = 14, 4, 17
VXLAN_PORT = 4789


def main() -> None:
    """Encapsulate until the duration is over, or Ctrl-C."""
    parser = requests.parser(__doc__ or "")
    parser.add_argument("--tunnel", choices=("vxlan", "ipip"), default="vxlan")
    parser.add_argument("--source", default="192.0.2.1", help="the tunnel's near end")
    parser.add_argument("--target", default="192.0.2.2", help="the tunnel's far end")
    parser.add_argument("--target-mac", type=requests.mac, default="02:00:00:00:aa:02")
    options = parser.parse_args()
    ends = requests.address_of(options.source) + requests.address_of(options.target)
    with stage.stage(options) as here, XskSocket.open(here.interface, mode=options.mode) as xsk:
        mac = hardware_address(here.interface)
        stage.say(options, f"{options.tunnel} on {here.interface}", attached=here.interface)
        here.play(requests.ping(mac, requests.address_of(requests.ADDRESS)))
        grow = into_vxlan if options.tunnel == "vxlan" else into_ipip
        count = passed = 0
        for frame in requests.frames(here, xsk):
            if not grow(frame, ends):
                passed += 1
                continue
            frame.push(ETHERNET)[:ETHERNET] = options.target_mac + mac + b"\x08\x00"
            frame.send(kick=False)
            count += 1
        xsk.drain(5)
        stage.say(
            options,
            f"sent {count:,} frames on in {options.tunnel}, ignored {passed:,}{here.of_sent}",
            encapsulated=count,
            ignored=passed,
            sent=here.sent,
        )


def into_vxlan(frame: Frame, ends: bytes) -> bool:
    """Outer IPv4, UDP and VXLAN (RFC 7348) with network identifier 42 before the whole frame."""
    inner = len(frame)
    if frame.headroom < ETHERNET + 36:
        return False
    head = struct.pack(
        ">HHHHII", 49152 + (inner & 1023), VXLAN_PORT, inner + 16, 0, 1 << 27, 42 << 8
    )
    frame.push(16)[:16] = head
    outer_ip(frame, ends, UDP)
    return True


def into_ipip(frame: Frame, ends: bytes) -> bool:
    """Outer IPv4 (RFC 2003) before the inner one, in place of the Ethernet header."""
    if bytes(frame.data[12:14]) != b"\x08\x00":
        return False
    frame.pull(ETHERNET)
    outer_ip(frame, ends, IPIP)
    return True


def outer_ip(frame: Frame, ends: bytes, protocol: int) -> None:
    """An IPv4 header in front of the contents."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, len(frame) + 20, 0, 0x4000, 64, protocol, 0) + ends
    total = 0xFFFF - int.from_bytes(head, "big") % 0xFFFF
    frame.push(20)[:20] = head[:10] + total.to_bytes(2, "big") + head[12:]


if __name__ == "__main__":
    stage.guarded(main)
