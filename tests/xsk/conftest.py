"""A cable, with the test's thread at its near end, and a socket there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import XskSocket
from tests.support import need_native


@pytest.fixture
def cable() -> Iterator[VethPair]:
    need_native()
    with VethPair() as pair, pair.near.entered():
        yield pair


@pytest.fixture
def xsk(cable: VethPair) -> Iterator[XskSocket]:
    with XskSocket.open(cable.near_name) as socket:
        yield socket
