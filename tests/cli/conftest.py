"""The `ebpfasm` fixture."""

from __future__ import annotations

import pytest

from tests.cli.support import Command


@pytest.fixture
def ebpfasm(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    return Command(capfdbinary)
