"""The pytest plugin: what tests of eBPF programs need, as fixtures.

Installed with ebpfasm and found by pytest through its entry point; nothing is imported until
a fixture is used. With --ebpf-cov=FILE the lines of eBPF source that tests ran in the virtual
machine are written there as lcov's tracefile, and shown at the end.

    @pytest.fixture
    def firewall(ebpf_collection):
        return ebpf_collection("firewall.s")

    def test_it_drops_telnet(firewall, ebpf_packets):
        assert firewall.run("filter", ebpf_packets.tcp(dport=23)).retval == 1
        assert firewall.maps["dropped"][23] == 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ebpfasm.analysis.vm import RunResult
    from ebpfasm.analysis.vm.coverage import Coverage
    from ebpfasm.ir import CollectionSpec, ProgramSpec
    from ebpfasm.runtime.network.veth import VethPair
    from ebpfasm.runtime.running.anywhere import AnyCollection

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
    from ebpfasm.runtime.network.veth import VethPair

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
    from ebpfasm.runtime.running.once import run

    coverage = _coverage(pytestconfig)

    def run_program(program: ProgramSpec, data: bytes = b"", **options: Any) -> RunResult:
        if ebpf_engine == "kernel":
            try:
                return run(program, data, engine="kernel", **options)
            except NotSupported as lacking:
                pytest.skip(str(lacking))
        return run(program, data, engine="vm", coverage=coverage, **options)

    return run_program


@pytest.fixture
def ebpf_collection(
    ebpf_engine: str, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[Callable[..., AnyCollection]]:
    """Open collections in each engine in turn; they are closed after the test.

    `ebpf_collection("count.s")` reads a file beside the test's own (or from where pytest was
    started), or takes a CollectionSpec. What comes back has `run(name, data)`, `programs` and
    `maps`, the same in both engines; options are those of ebpfasm.virtual_machine, and the
    kernel's turn is skipped where some are given.
    """
    from ebpfasm.errors import NotSupported
    from ebpfasm.runtime.running.anywhere import open_anywhere

    coverage = _coverage(pytestconfig)
    with ExitStack() as opened:

        def open_here(
            source: str | PathLike[str] | CollectionSpec, **options: Any
        ) -> AnyCollection:
            if ebpf_engine == "kernel" and options.keys() - {"kconfig"}:
                pytest.skip("the kernel has no options of the virtual machine")
            spec = _spec(source, request.path.parent)
            try:
                found = open_anywhere(spec, ebpf_engine, coverage=coverage, **options)
            except NotSupported as lacking:
                if ebpf_engine != "kernel":
                    raise
                pytest.skip(str(lacking))
            return opened.enter_context(found)

        yield open_here


@pytest.fixture(scope="session")
def ebpf_packets() -> ModuleType:
    """Frames from a few words: `ebpf_packets.udp("10.0.0.1", "10.0.0.2", dport=53)`.

    The module ebpfasm.analysis.vm.frames: ethernet, arp, ipv4, ipv6, icmp, udp and tcp.
    """
    from ebpfasm.analysis.vm import frames

    return frames


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
    terminalreporter.line(coverage.table(str(config.invocation_params.dir)))


def _coverage(config: pytest.Config) -> Coverage | None:
    if config.getoption("--ebpf-cov") is None:
        return None
    if _COVERAGE not in config.stash:
        from ebpfasm.analysis.vm.coverage import Coverage

        config.stash[_COVERAGE] = Coverage()
    return config.stash[_COVERAGE]


def _spec(source: str | PathLike[str] | CollectionSpec, beside: Path) -> CollectionSpec:
    from ebpfasm.ir import CollectionSpec
    from ebpfasm.sources import open_collection

    if isinstance(source, CollectionSpec):
        return source
    here = beside / source
    return open_collection(here if here.exists() else Path(source))


def _kernel_may_be_used() -> bool:
    from ebpfasm.errors import LoadError
    from ebpfasm.ir import MapSpec

    try:
        from ebpfasm.runtime.maps import Map

        Map.create(MapSpec("probe", "array", 4, 4, 1)).close()
    except (LoadError, OSError, ImportError):
        return False
    return True
