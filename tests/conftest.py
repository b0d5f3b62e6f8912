"""Markers and options of the whole suite: `kernel`, `tool(name)`, and `--bless`."""

from __future__ import annotations

import pytest

from tests import support


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="rewrite the expectations in tests/data by what the program says now; read the diff",
    )


@pytest.fixture(scope="session")
def bless(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--bless"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("tool"):
        for name in marker.args:
            support.find_tool(name)
    if item.get_closest_marker("kernel") is not None:
        refusal = support.bpf_errno()
        if refusal:
            support.missing("kernel", support.bpf_advice(refusal))
        support.mount_kernel_filesystems()
