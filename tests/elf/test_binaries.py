"""Functions and probes of programs and libraries, with binutils as the judge."""

from __future__ import annotations

import ctypes
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.elf.binaries import Probe, read_functions, read_probes
from ebpfasm.errors import ElfError
from tests.runtime.attaching import compiled
from tests.runtime.test_attach_probes import PROBES, TARGET

pytestmark = pytest.mark.tool("nm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("binaries")


@pytest.fixture(scope="module")
def program(folder: Path) -> Path:
    return compiled(folder, "target", TARGET)


def by_nm(path: Path, *flags: str) -> dict[str, int]:
    """Addresses of functions by nm's word, of the default version where there are several."""
    command = ["nm", "--defined-only", *flags, str(path)]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = {}
    for line in said.splitlines():
        address, kind, name = line.split()
        plain, _, version = name.partition("@")
        if kind in "TtWi" and (not version or version.startswith("@")):
            found[plain] = int(address, 16)
    return found


@pytest.mark.parametrize("flags", [(), ("-no-pie",), ("-static",)])
def test_functions_are_where_nm_says(folder: Path, flags: tuple[str, ...]) -> None:
    path = compiled(folder, f"target{len(flags)}{''.join(flags)}", TARGET, *flags)
    wanted, found = by_nm(path), read_functions(path)
    for name in ("main", "work", "worker"):
        assert found[name].address == wanted[name]
        assert found[name].size > 0
        assert not found[name].indirect
    content = path.read_bytes()
    # The compiler makes the same code of both but for the number.
    one, other = (content[found[each].offset :][:4] for each in ("work", "worker"))
    assert one != other
    assert one[0] == other[0]


def test_a_stripped_library_tells_by_its_dynamic_symbols() -> None:
    path = libc()
    wanted, found = by_nm(path, "-D"), read_functions(path)
    for name, address in wanted.items():
        if name in found:
            assert found[name].address == address, name
    assert {"malloc", "getenv", "memcpy"} <= wanted.keys() & found.keys()
    assert found["memcpy"].indirect


def libc() -> Path:
    """The library that this process has mapped."""
    ctypes.CDLL(None)
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in lines if "/libc.so.6" in line)


def test_probes_are_read_with_their_arguments(folder: Path) -> None:
    path = compiled(folder, "probes", PROBES)
    one, two = read_probes(path)
    assert (one.provider, one.name) == (two.provider, two.name) == ("tested", "probe")
    assert one.offset != two.offset
    assert one.semaphore == two.semaphore > 0
    assert one.arguments.startswith("-4@%")
    assert one.arguments.endswith(" 8@$77")
    nop = path.read_bytes()[one.offset]
    assert nop == 0x90
    assert isinstance(one, Probe)


def test_what_is_no_program_is_told(tmp_path: Path, program: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for path in (Path("/etc/passwd"), empty):
        with pytest.raises(ElfError, match="this is no ELF file"):
            read_functions(path)
    assert read_probes(program) == ()
    with pytest.raises(FileNotFoundError):
        read_functions(tmp_path / "nothing")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_else(data: st.DataObject, program: Path) -> None:
    content = bytearray(program.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            # Headers are at both ends of the file.
            reach = min(len(content), 4096)
            at = data.draw(st.integers(0, reach - 1) | st.integers(-reach, -1))
            content[at] = data.draw(st.integers(0, 255))
    damaged = program.with_name("damaged")
    damaged.write_bytes(content)
    for read in (read_functions, read_probes):
        with suppress(ElfError):
            read(damaged)
