"""Answer ARP and ping on every queue of an interface: one socket for all, or a thread a queue."""

from __future__ import annotations

from collections import Counter

from ebpfasm.runtime.xsk import Frame, XskMultiSocket, XskSocket
from ebpfasm.runtime.xsk.answers import answer, hardware_address
from examples import requests, stage


def main() -> None:
    """Answer until the duration is over, or Ctrl-C."""
    parser = requests.parser(__doc__ or "")
    parser.add_argument("--ip", default=requests.ADDRESS, help="the address to answer for")
    parser.add_argument("--concurrent", action="store_true", help="a worker a queue")
    options = parser.parse_args()
    ip = requests.address_of(options.ip)
    with (
        stage.stage(options, queues=2) as here,
        XskMultiSocket.open(here.interface, mode=options.mode) as multi,
    ):
        queues = len(multi.sockets)
        stage.say(options, f"{options.ip} is at {here.interface}, {queues} queues", queues=queues)
        mac = hardware_address(here.interface)
        here.play(*(requests.ping(mac, ip, host) for host in range(2, 34)))
        answered: Counter[str] = Counter()

        def reply(frame: Frame, socket: XskSocket) -> None:
            kind = answer(frame.data, mac, ip)
            if kind is not None:
                answered[f"queue {socket.queue}"] += 1
                frame.send(kick=False)

        def work(socket: XskSocket) -> None:
            for frame in requests.until_over(here, socket):
                reply(frame, socket)

        if options.concurrent:
            multi.in_threads(work)
            here.stop.set()
        for frame in requests.frames(here, multi):
            assert isinstance(frame.home, XskSocket)
            reply(frame, frame.home)
        stage.say(
            options,
            f"answered {dict(sorted(answered.items()))}{here.of_sent}",
            answered=dict(sorted(answered.items())),
            sent=here.sent,
        )


if __name__ == "__main__":
    stage.guarded(main)
