"""The pytest plugin: what tests of eBPF programs need, as fixtures.

Installed with ebpfasm and found by pytest through its entry point; nothing is imported until
a fixture is used. With --ebpf-cov=FILE the lines of eBPF source that tests ran in the virtual
machine are written there as lcov's tracefile, and shown at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ebpfasm.analysis.vm import RunResult
    from ebpfasm.analysis.vm.coverage import Coverage
    from ebpfasm.ir import ProgramSpec
    from ebpfasm.runtime.veth import VethPair

_COVERAGE: pytest.StashKey[Coverage] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --ebpf-cov."""
    parser.getgroup("ebpfasm").addoption(
        "--ebpf-cov", metavar="FILE", help="write line coverage of eBPF programs to FILE (lcov)"
    )


@pytest.fixture
def veth() -> Iterator[VethPair]:
    """Two network namespaces with a veth pair between them, gone after the test.

    `veth.near_name` in `veth.near` is the end for programs; `veth.send(frames)` makes exactly
    those frames arrive there. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
    """
    from ebpfasm.runtime.veth import VethPair

    with VethPair() as pair:
        yield pair


@pytest.fixture(params=["vm", "kernel"])
def ebpf_engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: the test runs in the virtual machine, and in the kernel if it may."""
    name: str = request.param
    if name == "kernel" and not _kernel_may_be_used():
        pytest.skip("the kernel may not be used here")
    return name


@pytest.fixture
def ebpf_run(ebpf_engine: str, pytestconfig: pytest.Config) -> Callable[..., RunResult]:
    """`ebpfasm.run` in each engine in turn; a kernel that cannot run the program's type skips."""
    from ebpfasm.errors import NotSupported
    from ebpfasm.runtime.run import run

    coverage = _coverage(pytestconfig)

    def run_program(program: ProgramSpec, data: bytes = b"", **options: Any) -> RunResult:
        if ebpf_engine == "kernel":
            try:
                return run(program, data, engine="kernel", **options)
            except NotSupported as lacking:
                pytest.skip(str(lacking))
        return run(program, data, engine="vm", coverage=coverage, **options)

    return run_program


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write and show the coverage."""
    coverage = config.stash.get(_COVERAGE, None)
    if coverage is None:
        return
    path = Path(config.getoption("--ebpf-cov"))
    path.write_text(coverage.lcov(), encoding="utf-8")
    terminalreporter.section(f"eBPF coverage: {path}")
    terminalreporter.line(coverage.table())


def _coverage(config: pytest.Config) -> Coverage | None:
    if config.getoption("--ebpf-cov") is None:
        return None
    if _COVERAGE not in config.stash:
        from ebpfasm.analysis.vm.coverage import Coverage

        config.stash[_COVERAGE] = Coverage()
    return config.stash[_COVERAGE]


def _kernel_may_be_used() -> bool:
    from ebpfasm.errors import LoadError
    from ebpfasm.ir import MapSpec

    try:
        from ebpfasm.runtime.maps import Map

        Map.create(MapSpec("probe", "array", 4, 4, 1)).close()
    except (LoadError, OSError, ImportError):
        return False
    return True
