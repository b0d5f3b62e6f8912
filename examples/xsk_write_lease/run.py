"""Write packets in place, into free frames of the UMEM, and send them."""

from __future__ import annotations

import struct

from ebpfasm.runtime.xsk import XskSocket
from ebpfasm.runtime.xsk.answers import hardware_address
from examples import requests, stage

EXPERIMENT = b"\x88\xb5"  # an EtherType for local experiments


def main() -> None:
    """Send numbered packets, and take some leases that are given back unsent."""
    parser = requests.sender_parser(__doc__ or "")
    parser.add_argument("--count", type=stage.whole(1), default=1000, help="packets to send")
    parser.add_argument("--size", type=stage.whole(18, 1514), default=64, help="bytes of each")
    options = parser.parse_args()
    with stage.stage(options) as here, XskSocket.open(here.interface, rx=False) as xsk:
        head = b"\xff" * 6 + hardware_address(here.interface) + EXPERIMENT
        sent = reused = 0
        is_over = here.deadline()
        while sent < options.count and not is_over():
            with xsk.alloc() as frame:  # free again at the end of the block, if it is not sent
                data = frame.put(options.size)
                data[:14] = head
                struct.pack_into(">I", data, 14, sent)
                if (sent + reused) % 10 == 9:
                    reused += 1
                    continue
                frame.send(kick=sent % 64 == 63)
                sent += 1
        xsk.flush()
        xsk.drain(5)
        census = xsk.umem.census()
        stage.say(
            options,
            f"sent {sent:,} packets, gave {reused:,} leases back unsent; "
            f"{census.free:,} of {census.total:,} frames are free",
            sent=sent,
            reused=reused,
            free=census.free,
            frames=census.total,
        )


if __name__ == "__main__":
    stage.guarded(main)
