"""Markers and options of the whole suite: `kernel`, `tool(name)`, `needs(feature)`, `--bless`."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from tests import features, support

# The suite tries the same values each time, so that a failure is the change's own; `make fuzz`
# tries others.
settings.register_profile("steady", derandomize=True, deadline=None)
if not os.environ.get("EBPFASM_FUZZ"):
    settings.load_profile("steady")


# A pytest that tests start is a user's, and finds ours even where no plugins are looked for.
if "PYTEST_DISABLE_PLUGIN_AUTOLOAD" in os.environ:
    os.environ["PYTEST_PLUGINS"] = "ebpfasm.testing,pytest_timeout"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and what tests start would not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="rewrite the expectations in tests/data by what the program says now; read the diff",
    )
    parser.addoption(
        "--features",
        metavar="NAMES",
        help="only tests that need one of these (tests/features.py), with commas between",
    )


@pytest.fixture(scope="session")
def bless(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--bless"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--features")
    if wanted is None:
        return
    names = set(str(wanted).split(","))
    chosen = [
        item
        for item in items
        if any(names & set(marker.args) for marker in item.iter_markers("needs"))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("tool"):
        for name in marker.args:
            support.find_tool(name)
    if item.get_closest_marker("kernel") is not None:
        refusal = support.bpf_errno()
        if refusal:
            support.missing("kernel", support.bpf_advice(refusal))
        support.mount_kernel_filesystems()
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if features.unsupported(name):
                pytest.skip(f"unsupported: {name}")
