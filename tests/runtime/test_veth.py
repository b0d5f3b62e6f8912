from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ebpfasm.runtime.network.netns import Namespace, in_thread
from ebpfasm.runtime.network.veth import VethPair
from tests.runtime.samples import descriptors, interface

pytestmark = [pytest.mark.kernel, pytest.mark.tool("ip")]


def here() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def test_only_the_calling_thread_enters_a_namespace_and_comes_back() -> None:
    home = here()
    with Namespace() as namespace:
        with namespace.entered():
            assert here() != home
            assert in_thread(lambda: here(), namespace=namespace.fd) == here()
        assert here() == home
        with pytest.raises(ZeroDivisionError), namespace.entered():
            _ = 1 // 0
        assert here() == home
        assert os.readlink("/proc/self/ns/net") == home


def test_nothing_is_left_behind() -> None:
    names = Path("/var/run/netns")
    before = descriptors(), sorted(names.iterdir()) if names.is_dir() else []
    with VethPair(near_addresses=["10.77.0.1/24"], far_addresses=["10.77.0.2/24"]):
        pass
    assert (descriptors(), sorted(names.iterdir()) if names.is_dir() else []) == before


def test_frames_arrive_as_they_were_sent_and_alone() -> None:
    frames = [bytes(12) + b"\x88\xb5" + bytes([number]) * 50 for number in range(50)]
    with VethPair() as pair, pair.socket("near", receive=True) as witness:
        witness.settimeout(10)
        assert pair.send(frames) == 50
        assert [witness.recv(2048) for _ in frames] == frames
        witness.setblocking(False)
        with pytest.raises(BlockingIOError):
            witness.recv(2048)


@pytest.mark.tool("ping")
@pytest.mark.parametrize(("near", "far"), [("10.77.0.1", "10.77.0.2"), ("fd00::1", "fd00::2")])
def test_both_ends_talk_as_soon_as_they_are_there(near: str, far: str) -> None:
    bits = 24 if "." in near else 64
    with VethPair(
        "left", "right", near_addresses=[f"{near}/{bits}"], far_addresses=[f"{far}/{bits}"]
    ) as pair:
        with pair.far.entered():
            assert interface("right")["operstate"] == "UP"
            done = subprocess.run(["ping", "-c1", "-W5", near], capture_output=True, text=True)
        assert "1 received" in done.stdout
