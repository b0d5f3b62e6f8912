"""The pytest plugin: what tests of eBPF programs need, as fixtures.

Installed with ebpfasm and found by pytest through its entry point; nothing is imported until
a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ebpfasm.runtime.veth import VethPair


@pytest.fixture
def veth() -> Iterator[VethPair]:
    """Two network namespaces with a veth pair between them, gone after the test.

    `veth.near_name` in `veth.near` is the end for programs; `veth.send(frames)` makes exactly
    those frames arrive there. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
    """
    from ebpfasm.runtime.veth import VethPair

    with VethPair() as pair:
        yield pair
