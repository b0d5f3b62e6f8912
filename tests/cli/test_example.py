"""`ebpfasm example`: a newcomer's first command works from any folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import Command
from tests.support import ROOT


def run_away_from_home(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ebpfasm", "example", *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_example_is_listed_with_what_it_shows(ebpfasm: Command) -> None:
    listed = json.loads(ebpfasm("example", "list", "--json").out)
    assert set(listed) == {path.parent.name for path in (ROOT / "examples").glob("*/run.py")}
    assert all(says.endswith(".") for says in listed.values())


@pytest.mark.kernel
def test_an_example_runs_from_any_folder_with_its_own_options(tmp_path: Path) -> None:
    done = run_away_from_home(tmp_path, "run", "test_xdp_program", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["retval"] for line in done.stdout.splitlines()] == [1, 2, 1, 2]


def test_an_example_s_own_help_is_shown(tmp_path: Path) -> None:
    done = run_away_from_home(tmp_path, "run", "xdp_stats_assembly", "--help")
    assert "--duration SECONDS" in done.stdout


def test_an_example_that_is_not_there_is_one_sentence(ebpfasm: Command) -> None:
    done = ebpfasm("example", "run", "xdp_stats_asembly")
    assert done.status == 1
    assert done.err == (
        "error[cli-usage]: there is no example xdp_stats_asembly\n"
        "   hint: did you mean xdp_stats_assembly?\n"
    )
