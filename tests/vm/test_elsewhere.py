"""The virtual machine where there is no Linux: nothing that only Linux has is needed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.support import ROOT

# What Windows or macOS lack or have otherwise, what talks to the kernel, and ebpfasm's own parts
# that do. Without the native core it is the reference engine.
PREAMBLE = """
    import sys

    REFUSED = {"fcntl", "ctypes", "pyroute2", "grp", "pwd", "termios", "mmap", "_ctypes"}
    OWN = {"syscall", "loader", "maps", "programs", "network", "links", "attach", "info"}

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            top, _, rest = name.partition(".")
            own = name.startswith("ebpfasm.runtime.") and name.split(".")[2] in OWN
            if top in REFUSED or own or name == "ebpfasm._native" and WITHOUT_CORE:
                raise ImportError(f"{name} does not exist on this system")

    sys.meta_path.insert(0, Refuse())
    sys.platform = "win32"
    for each in REFUSED & set(sys.modules):
        del sys.modules[each]
"""

RUN = """
    import ebpfasm
    from ebpfasm.runtime.running.packets import run_packets

    spec = ebpfasm.open("examples/unit_testing/firewall.s")
    program = spec.programs["firewall"]
    from ebpfasm.analysis.vm import frames
    frame = frames.tcp(dport=23)
    result = ebpfasm.run(program, frame, maps={"blocked": {23: 0}})
    print(result.engine, result.retval, result.changes)
    print(result.fallback)
    capture = open("examples/traffic.pcap", "rb").read()
    print(sorted(set(run_packets(program, capture).verdicts)))
    from ebpfasm.analysis.vm.debugger import Debugger
    with Debugger(ebpfasm.virtual_machine(program), frame) as debugger:
        debugger.go()
        print(debugger.r0)
    print(len(ebpfasm.run(program, frame, trace=True).trace) > 10)
    try:
        ebpfasm.run(program, frame, engine="kernel")
    except ebpfasm.NotSupported as lacking:
        print(lacking)
    print(sorted(each for each in sys.modules if each.split(".")[0] in REFUSED))
"""


@pytest.mark.parametrize("without_core", [False, True])
def test_programs_run_where_there_is_no_linux(without_core: bool) -> None:
    code = f"WITHOUT_CORE = {without_core}\n" + textwrap.dedent(PREAMBLE) + textwrap.dedent(RUN)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    why = "running in a kernel that is no Linux is not supported here"
    assert done.stdout.splitlines() == [
        "vm 1 {'blocked': {23: 1}}",
        why,
        "[2]",
        "2",
        "True",
        f"error[not-supported]: {why}",
        "[]",
    ]
