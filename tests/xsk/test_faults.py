"""What goes wrong: a defined outcome each, and nothing lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ebpfasm.errors import EbpfError, LoadError, NotSupported
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import Census, Umem, XskMultiSocket, XskSocket
from tests.support import ROOT
from tests.xsk.support import FRAME, ip, numbered

pytestmark = pytest.mark.kernel

SECOND = 10.0


def code(caught: pytest.ExceptionInfo[EbpfError]) -> str:
    return caught.value.diagnostics[0].code


def settled(xsk: XskSocket, sent: int) -> tuple[int, int]:
    """Received and dropped, when they add up or time is over."""
    deadline = time.monotonic() + SECOND
    while True:
        got, lost = xsk.counters().received, xsk.statistics().dropped
        waiting = xsk.umem.census().fill
        if got + lost >= sent or time.monotonic() > deadline:
            return got, lost
        assert waiting
        os.sched_yield()


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_frames_faster_than_the_reader_are_dropped_and_counted(cable: VethPair, mode: str) -> None:
    with XskSocket.open("veth0", rx_size=64, tx_size=64, mode=mode) as xsk:  # type: ignore[arg-type]
        sent = 0
        for _ in range(20):
            sent += cable.send([FRAME] * 100)
        kept = xsk.drop(timeout=0.2)
        got, lost = settled(xsk, sent)
        assert (got, got + lost) == (kept, sent)
        assert 0 < got <= 128
        assert xsk.umem.census() == Census(free=64, user=0, fill=64, tx=0)
        cable.send([FRAME] * 10)
        assert xsk.drop(10, SECOND) == 10  # and it goes on


def test_leases_that_are_held_starve_receiving_and_are_counted(cable: VethPair) -> None:
    with XskSocket.open("veth0", rx_size=64, tx=False) as xsk:
        cable.send([FRAME] * 64)
        held = [xsk.recv() for _ in range(64)]
        assert xsk.umem.census().user == 64
        cable.send([FRAME] * 30)
        assert xsk.recv(0.05) is None
        assert xsk.statistics().dropped == 30
        assert xsk.statistics().rx_fill_ring_empty_descs > 0
        for each in held:
            each.release()
        cable.send([FRAME] * 5)
        assert xsk.drop(5, SECOND) == 5


def test_a_full_tx_ring_waits_or_times_out(cable: VethPair) -> None:
    with Umem(256) as umem, XskSocket.open("veth0", umem=umem, rx_size=64, tx_size=64) as xsk:
        ip(cable, "link", "set", "veth0", "down")
        for _ in range(64):
            xsk.send(FRAME, kick=False)
        frame = xsk.alloc()
        frame.write(FRAME)
        with pytest.raises(LoadError) as caught:
            frame.send(timeout=0)
        assert code(caught) == "xsk-interface"
        assert not frame.released
        frame.release()
        ip(cable, "link", "set", "veth0", "up")
        assert xsk.drain(SECOND)
        assert xsk.counters().sent == 64
        for _ in range(1000):  # completions are taken by sending itself
            xsk.send(FRAME)
        with xsk.alloc_batch(64) as batch:
            batch.lengths[:] = 60
            assert batch.send() == len(batch) or batch.released
        assert xsk.drain(SECOND)
        assert umem.census() == Census(free=192, user=0, fill=64, tx=0)


def test_completions_that_nobody_drains_stop_nothing(cable: VethPair) -> None:
    with XskSocket.open("veth0", rx_size=64, tx_size=64) as xsk:
        sent = 0
        for i in range(5000):
            if i % 2:
                xsk.send(FRAME)
            else:
                xsk.alloc().write(FRAME).send()
            sent += 1
        assert xsk.counters().sent == sent == 5000


def test_all_frames_leased_is_an_error_not_a_wait(cable: VethPair) -> None:
    with Umem(64) as umem, XskSocket.open("veth0", umem=umem, rx=False, tx_size=64) as xsk:
        batch = xsk.alloc_batch(64)
        for wrong in (xsk.alloc, xsk.alloc_batch, lambda: xsk.send(FRAME)):
            with pytest.raises(LoadError, match="no frame is free: 64 are leased") as caught:
                wrong()
            assert code(caught) == "xsk-frame"
        batch.release()
        xsk.send(FRAME)


def test_a_taken_queue(cable: VethPair) -> None:
    with XskSocket.open("veth0") as first:
        with pytest.raises(LoadError, match="another socket, or driver, has the queue") as caught:
            XskSocket.open("veth0")
        assert (code(caught), caught.value.errno) == ("xsk-open", errno.EBUSY)
        assert "umem of the first" in str(caught.value)
        cable.send([FRAME])
        assert first.drop(1, SECOND) == 1
    with XskSocket.open("veth0"):
        pass  # free again at once


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"queue": 7}, "xsk-open"),
        ({"rx_size": 100}, "xsk-open"),
        ({"copy": "zero-copy"}, "xsk-open"),
    ],
)
def test_what_cannot_be_opened(cable: VethPair, options: dict[str, object], expected: str) -> None:
    with pytest.raises(LoadError) as caught:
        XskSocket.open("veth0", **options)  # type: ignore[arg-type]
    assert code(caught) == expected


def test_an_interface_that_is_not_there(cable: VethPair) -> None:
    with pytest.raises(LoadError, match="did you mean veth0") as caught:
        XskSocket.open("veth9")
    assert code(caught) == "interface-missing"


@pytest.mark.parametrize(
    "options",
    [
        {"frame_size": 1000}, {"frame_size": 3000}, {"headroom": 4000}, {"count": 0},
        {"frame_size": 1000, "unaligned": True}, {"headroom": -1},
    ],
)  # fmt: skip
def test_memory_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(LoadError) as caught:
        Umem(**options)  # type: ignore[arg-type]
    assert code(caught) == "xsk-umem"


def test_frames_larger_than_the_page(cable: VethPair) -> None:
    with Umem(64, 8192) as umem:
        with pytest.raises(LoadError) as caught:
            XskSocket.open("veth0", umem=umem, rx_size=32, tx_size=32)
        assert (code(caught), caught.value.errno) == ("xsk-umem", errno.EINVAL)


def test_a_packet_longer_than_a_frame(xsk: XskSocket) -> None:
    with pytest.raises(LoadError, match="4097 bytes do not fit in a frame of 4096") as caught:
        xsk.send(bytes(4097))
    assert code(caught) == "xsk-frame"
    with pytest.raises(LoadError, match="no bytes"):
        xsk.send(b"")
    with pytest.raises(LoadError, match="longer than a frame"):
        xsk.replay([FRAME, bytes(5000)])
    assert xsk.umem.census().user == 0


def test_a_frame_of_another_memory(cable: VethPair) -> None:
    with (
        VethPair("a0", "a1") as other,
        XskSocket.open("veth0") as first,
        other.near.entered(),
        XskSocket.open("a0") as second,
    ):
        frame = first.alloc().write(FRAME)
        with pytest.raises(LoadError, match="of another UMEM") as caught:
            frame.send(via=second)
        assert code(caught) == "xsk-frame"
        second.send(bytes(frame))
        frame.release()


@pytest.mark.parametrize("way", ["recv", "loop", "batch", "echo"])
@pytest.mark.parametrize("fault", ["down", "removed"])
def test_an_interface_that_goes_while_it_is_waited_for(
    cable: VethPair, way: str, fault: str
) -> None:
    with XskSocket.open("veth0") as xsk:
        waits: dict[str, Callable[[], object]] = {
            "recv": xsk.recv,
            "loop": lambda: list(xsk.frames()),
            "batch": xsk.recv_batch,
            "echo": xsk.echo,
        }
        words = ("set", "veth0", "down") if fault == "down" else ("del", "veth0")
        timer = threading.Timer(0.02, lambda: ip(cable, "link", *words))
        timer.start()
        with pytest.raises(LoadError) as caught:
            waits[way]()
        timer.join()
        assert code(caught) == "xsk-interface"
        # One that is removed is taken down first, which the socket may see.
        gone = {errno.ENETDOWN} if fault == "down" else {errno.ENODEV, errno.ENETDOWN}
        assert caught.value.errno in gone
        with pytest.raises(LoadError):
            xsk.send(FRAME)
        if fault == "down":
            ip(cable, "link", "set", "veth0", "up")
            deadline = time.monotonic() + SECOND
            while not xsk.drop(1, 0.05):  # the carrier takes a moment
                assert time.monotonic() < deadline
                cable.send([FRAME])
            assert xsk.drain(SECOND)
    assert xsk.umem.census() == Census(free=4096, user=0, fill=0, tx=0)


@pytest.mark.parametrize("way", ["recv", "frames", "drop", "echo", "capture"])
def test_closing_in_another_thread_ends_a_wait(xsk: XskSocket, way: str) -> None:
    waits: dict[str, Callable[[], object]] = {
        "recv": xsk.recv,
        "drop": xsk.drop,
        "echo": xsk.echo,
        "capture": lambda: xsk.capture("/dev/null"),
    }
    timer = threading.Timer(0.02, xsk.close)
    timer.start()
    if way == "frames":
        assert list(xsk.frames()) == []
    else:
        with pytest.raises(ValueError, match="XskSocket is closed"):
            waits[way]()
    timer.join()


def test_closing_under_traffic_loses_no_frame(cable: VethPair) -> None:
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            cable.send([FRAME] * 20)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(5):
            with XskSocket.open("veth0", rx_size=256, tx_size=256) as xsk:
                xsk.echo(count=50, timeout=1)
                held = xsk.recv_batch(timeout=1)
            held.release()
            assert xsk.umem.census() == Census(free=512, user=0, fill=0, tx=0)
    finally:
        stop.set()
        sender.join()


INTERRUPTED = """
import signal, threading
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import XskSocket
with VethPair() as pair, pair.near.entered(), XskSocket.open("veth0") as xsk:
    main = threading.main_thread().ident
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    try:
        timer.start()
        {call}
    except KeyboardInterrupt:
        print("interrupted", xsk.closed)
    print(xsk.umem.census().total)
"""


@pytest.mark.parametrize(
    "call", ["xsk.recv()", "list(xsk)", "xsk.recv_batch()", "xsk.drop()", "xsk.echo()"]
)
def test_ctrl_c_interrupts(call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(call=call)],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("interrupted False\n4096\n", "")


def test_a_handler_that_does_not_raise_ends_no_wait(xsk: XskSocket, cable: VethPair) -> None:
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))

    def act() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        cable.send([FRAME])

    try:
        timer = threading.Timer(0.02, act)
        timer.start()
        with xsk.recv() as frame:
            assert len(frame) == 60
        timer.join()
        assert heard == [1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_without_the_native_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
    with pytest.raises(NotSupported, match="AF_XDP without the native core"):
        Umem()


def test_all_or_none_of_the_queues() -> None:
    with VethPair(queues=2) as pair, pair.near.entered():
        with XskSocket.open("veth0", 1) as other:
            with pytest.raises(LoadError):
                XskMultiSocket.open("veth0")
            pair.send(numbered(4))
            assert other.redirect is not None
        with XskMultiSocket.open("veth0") as multi:
            assert len(multi.sockets) == 2


def test_an_interface_that_goes_under_all_queues() -> None:
    with VethPair(queues=2) as pair, pair.near.entered(), XskMultiSocket.open("veth0") as multi:
        assert multi.recv(0.15) is None
        ip(pair, "link", "set", "veth0", "down")
        with pytest.raises(LoadError) as caught:
            multi.recv()
        assert code(caught) == "xsk-interface"
