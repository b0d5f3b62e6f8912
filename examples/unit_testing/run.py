"""Run the unit tests of an eBPF program, in the virtual machine and in the kernel."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from ebpfasm.errors import unsupported
from examples import stage

HERE = Path(__file__).parent


def main() -> None:
    """Run pytest on the tests that lie here; its own options may follow."""
    parser = stage.named_parser(__doc__)
    parser.add_argument("--cov", metavar="FILE", default=os.devnull, help="line coverage as lcov")
    options, words = parser.parse_known_args()
    options.cov = os.path.abspath(options.cov)
    if importlib.util.find_spec("pytest") is None:
        raise unsupported("running tests without pytest", hint="type: pip install pytest")
    # As in a folder of your own: pytest's settings are not this project's.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(HERE)]
    command += ["-p", "no:cacheprovider", "-v", f"--ebpf-cov={options.cov}", *words]
    sys.exit(subprocess.run(command, cwd=HERE, check=False).returncode)


if __name__ == "__main__":
    stage.guarded(main)
