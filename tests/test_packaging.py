"""What a user installs: the wheel from the sdist, looked into, and imported from elsewhere."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.tool("gcc")]

LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "__pycache__", "*.so", "*.egg-info", "tests", "docs", "benchmarks"
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Distribution:
    sdist: Path
    wheel: Path


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def can_build_here() -> bool:
    """Say whether this environment has the build's requirements, so that none need be fetched."""
    if importlib.util.find_spec("cffi") is None:
        return False
    return int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    checkout = tmp_path_factory.mktemp("checkout") / "ebpfasm"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=LEFT_OUT)
    dist = tmp_path_factory.mktemp("dist")
    isolation = ["--no-isolation"] if can_build_here() else []
    run(sys.executable, "-m", "build", "--outdir", dist, *isolation, cwd=checkout)
    (sdist,) = dist.glob("*.tar.gz")
    (wheel,) = dist.glob("*.whl")
    return Distribution(sdist, wheel)


def test_the_sdist_holds_what_the_native_core_is_built_from(distribution: Distribution) -> None:
    with tarfile.open(distribution.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    native = {f"{path.relative_to(ROOT)}" for path in (ROOT / "runtime/native").rglob("*.[ch]")}
    assert native | {"setup.py", "runtime/__init__.py", "runtime/_build.py", "LICENSE"} <= names


def test_one_wheel_serves_every_python_from_3_11(distribution: Distribution) -> None:
    assert "-cp311-abi3-" in distribution.wheel.name


def test_the_wheel_holds_every_module_and_nothing_else(distribution: Distribution) -> None:
    with zipfile.ZipFile(distribution.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ebpfasm").rglob("*.py")}
    modules = {name for name in modules if not name.startswith("ebpfasm/runtime/")}
    runtime = [
        path for path in (ROOT / "runtime").rglob("*") if path.suffix in {".py", ".pyi", ".c", ".h"}
    ]
    modules |= {f"ebpfasm/{path.relative_to(ROOT).as_posix()}" for path in runtime}
    shipped = [path for path in (ROOT / "examples").rglob("*.*") if "__pycache__" not in path.parts]
    modules |= {
        f"ebpfasm/{path.relative_to(ROOT).as_posix()}" for path in shipped if path.is_file()
    }
    others = {"ebpfasm/py.typed", "ebpfasm/grammar.lark", "ebpfasm/_native.pyi"}
    others.add("ebpfasm/_native.abi3.so")
    assert names == modules | others


def test_every_room_is_packaged() -> None:
    folders = {path.parent for path in (ROOT / "ebpfasm").rglob("__init__.py")}
    rooms = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    below = {path.parent for path in (ROOT / "runtime").rglob("__init__.py")}  # behind a link
    rooms |= {".".join(("ebpfasm", *folder.relative_to(ROOT).parts)) for folder in below}
    assert rooms | {"ebpfasm.examples"} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_installed_wheel_works_far_from_the_checkout(
    distribution: Distribution, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps")
    run(*pip, "--target", site, distribution.wheel, cwd=tmp_path)
    code = (
        "import ebpfasm, ebpfasm.runtime, ebpfasm._native as native\n"
        "print(ebpfasm.__file__, ebpfasm.runtime.__file__, native.__file__, sep='\\n')\n"
        "print(native.lib.ebpfasm_bpf(-1, native.ffi.NULL, 0) < 0)\n"
    )
    printed = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site)).splitlines()
    package = site / "ebpfasm"
    assert printed == [
        str(package / "__init__.py"),
        str(package / "runtime" / "__init__.py"),
        str(package / "_native.abi3.so"),
        "True",
    ]


@pytest.mark.kernel
def test_examples_run_from_the_installed_wheel(distribution: Distribution, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps")
    run(*pip, "--target", site, distribution.wheel, cwd=tmp_path)

    def example(*words: str) -> str:
        command = (sys.executable, "-m", "ebpfasm", "example", *words)
        return run(*command, cwd=tmp_path, PYTHONPATH=str(site))

    folders = {path.parent.name for path in (ROOT / "examples").glob("*/run.py")}
    assert set(json.loads(example("list", "--json"))) == folders
    assert example("list").endswith(f"lie in {site}/ebpfasm/examples\n")
    first, *_, last = map(
        json.loads, example("run", "bpf_to_bpf", "--json", "--duration", "0.3").splitlines()
    )
    assert first["functions"][0] == "func#0 @0"
    assert last["sent"] > 0
    assert "8 passed" in example("run", "unit_testing", "-q")
