"""The stage that examples play on: an interface of yours, or a scratch veth pair with traffic.

A scratch pair lives in network namespaces without a name and is gone when the example ends,
however it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebpfasm import Program
from ebpfasm.errors import EbpfError
from ebpfasm.runtime.network.veth import VethPair

# Ethernet, IPv4 10.0.0.2 -> 10.0.0.1, UDP 4000 -> 4001, 10 bytes: 52 bytes in all.
UDP_FRAME = bytes.fromhex(
    "020000000001 020000000002 0800"
    "45000026 00010000 4011 0000 0a000002 0a000001"
    "0fa0 0fa1 0012 0000 65627066 61736d21 0a0a"
)


# A hundred frames: UDP, TCP, ICMP, IPv6 and ARP, for where the kernel may not be used.
CAPTURE = Path(__file__).with_name("traffic.pcap")


def named_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that calls itself by the example's name."""
    runner = Path(sys.argv[0])
    name = runner.parent.name if runner.name == "run.py" else None
    return argparse.ArgumentParser(prog=name, description=description)


def bare_parser(description: str | None) -> argparse.ArgumentParser:
    """The option of examples that print what they find."""
    made = named_parser(description)
    made.add_argument("--json", action="store_true", help="print JSON, a value a line")
    return made


def add_duration(
    parser: argparse.ArgumentParser, default: float | None = None, help: str = "then stop"
) -> None:
    """The option that ends an example."""
    parser.add_argument("--duration", metavar="SECONDS", type=duration, default=default, help=help)


def add_interval(parser: argparse.ArgumentParser) -> None:
    """The option of examples that print a line again and again."""
    parser.add_argument(
        "--interval", metavar="SECONDS", type=interval, default=1.0, help="between lines"
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of examples that attach to an interface and print a line each second."""
    made = bare_parser(description)
    made.add_argument("--iface", metavar="NAME", help="attach here instead of to a scratch pair")
    add_duration(made)
    add_interval(made)
    return made


def duration(text: str) -> float:
    """A number of seconds, 0 or more."""
    seconds = _number(text)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no duration: write seconds, 0 or more")
    return seconds


def interval(text: str) -> float:
    """A number of seconds, more than 0."""
    seconds = _number(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no interval: write seconds, more than 0")
    return seconds


def whole(least: int, most: int = (1 << 31) - 1) -> Callable[[str], int]:
    """What takes a whole number from an option, within these bounds."""

    def taken(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text}: write a number from {least} to {most}")
        return number

    return taken


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")  # which no comparison lets through


@dataclass
class Stage:
    """Where to attach, when to stop, and how many frames were sent so far (None: not by us)."""

    interface: str
    stop: threading.Event
    duration: float | None
    interval: float = 1.0
    pair: VethPair | None = None
    sent: int | None = None
    _traffic: threading.Thread | None = field(default=None, init=False)

    def play(self, *frames: bytes) -> None:
        """Send about a thousand frames a second from the far end, where there is one: these in
        turn, or small UDP ones."""
        if self.pair is None:
            return
        pair, self.sent = self.pair, 0
        rounds = [*(frames or (UDP_FRAME,))] * max(1, 10 // max(1, len(frames)))

        def send() -> None:
            while not self.stop.wait(len(rounds) / 1000):
                self.sent = (self.sent or 0) + pair.send(rounds)

        self._traffic = threading.Thread(target=send, name="traffic")
        self._traffic.start()

    @property
    def is_playing(self) -> bool:
        """Whether more frames may come from us."""
        return self._traffic is not None and self._traffic.is_alive()

    @property
    def of_sent(self) -> str:
        """What to say behind a number of packets: how many were sent, where that is known."""
        return f" of {self.sent:,} sent" if self.sent is not None else ""

    def seconds(self) -> Iterator[float]:
        """Once in an interval, until the duration is over or a signal comes; seconds so far."""
        begin, turn, at = time.monotonic(), 0, 0.0
        end = float("inf") if self.duration is None else self.duration
        while not self.stop.is_set() and at + 1e-9 < end:
            turn += 1
            at = min(turn * self.interval, end)  # a late turn does not cost the next one
            self.stop.wait(max(0.0, begin + at - time.monotonic()))
            yield time.monotonic() - begin

    def is_half_over(self, seconds: float) -> bool:
        """Whether half of the duration is over, and not all of it; without one after two seconds.

        These are seconds that `seconds` gave, which a clock may give a moment too early.
        """
        early = seconds + 0.001
        if self.duration is None:
            return early >= 2
        return self.duration / 2 <= early < self.duration

    def deadline(self) -> Callable[[], bool]:
        """What tells whether the duration, which begins now, is over, or a signal came."""
        end = None if self.duration is None else time.monotonic() + self.duration
        return lambda: self.stop.is_set() or (end is not None and time.monotonic() >= end)

    def received(self, receiver: socket.socket) -> Iterator[tuple[bytes, Any]]:
        """What a socket receives, and from whom, until the duration is over or a signal comes."""
        is_over = self.deadline()
        receiver.settimeout(0.05)
        while not is_over():
            try:
                data = receiver.recvfrom(1 << 16)
            except TimeoutError:
                continue
            yield data

    def finish(self, counted: Callable[[], int]) -> None:
        """End the traffic, and wait for what is still on the wire to be counted."""
        self.stop.set()
        if self._traffic is not None:
            self._traffic.join()
        deadline = time.monotonic() + 5
        while self.sent is not None and counted() < self.sent and time.monotonic() < deadline:
            time.sleep(0.01)


@contextmanager
def stage(options: argparse.Namespace, *addresses: str, queues: int = 1) -> Iterator[Stage]:
    """Set the stage that the options ask for; addresses are those of a scratch pair's near end,
    which has so many queues.

    Ctrl-C and SIGTERM end `seconds`, in good order.
    """
    with clock(options) as plain:
        if options.iface is not None:
            plain.interface = options.iface
            yield plain
            return
        with VethPair(near_addresses=addresses, queues=queues) as pair, pair.near.entered():
            plain.interface, plain.pair = pair.near_name, pair
            try:
                yield plain
            finally:
                plain.finish(lambda: sys.maxsize)


@contextmanager
def clock(options: argparse.Namespace) -> Iterator[Stage]:
    """A stage without an interface: only its seconds, until the duration or a signal ends them."""
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in _SIGNALS}
    try:
        duration = getattr(options, "duration", None)
        yield Stage("", stop, duration, getattr(options, "interval", 1.0))
    finally:
        stop.set()
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def attach(options: argparse.Namespace, program: Program, here: Stage) -> Iterator[None]:
    """Attach an XDP program to the stage's interface, and say so."""
    with program.attach_xdp(here.interface) as link:
        say(options, f"attached to {here.interface}", attached=here.interface, mode=link.kind)
        yield


@contextmanager
def attached(options: argparse.Namespace, program: Program) -> Iterator[Stage]:
    """Set the stage with an XDP program attached to it."""
    with stage(options) as here, attach(options, program, here):
        yield here


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def lacks_kernel(problem: EbpfError, options: argparse.Namespace) -> bool:
    """Whether an example may go on in the virtual machine: a right is missing, or BPF itself."""
    lacking = {each.code for each in problem.diagnostics} & {"permission", "not-supported"}
    return bool(lacking) and options.iface is None


def start_programs(number: int) -> None:
    """Start the smallest program that there is so many times, one after the other."""
    for _ in range(number):
        subprocess.run(["/bin/true"], check=False)  # a Ctrl-C may end it, too


def say(options: argparse.Namespace, plain: str, **values: object) -> None:
    """Print a line for people, or the values as a line of JSON."""
    print(json.dumps(values) if options.json else plain, flush=True)


def guarded(main: Callable[[], None]) -> None:
    """Run an example: a mistake or a missing right is a few plain lines, never a traceback."""
    try:
        main()
    except EbpfError as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more
        sys.exit(1)
    except OSError as problem:  # an interface or a folder that is not there
        where = f"{problem.filename}: " if problem.filename is not None else ""
        print(f"error: {where}{problem.strerror or problem}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
