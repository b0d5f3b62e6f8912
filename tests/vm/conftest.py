"""Shows the differential test's table at the end."""

from __future__ import annotations

import pytest

from tests.vm import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.ROWS:
        terminalreporter.section("random programs")
        for line in tally.table():
            terminalreporter.line(line)
