"""kernel-vm: run one command as root under another Linux kernel, in qemu.

    tools/kernel-vm --kernel 6.1 -- python -m pytest -m kernel tests

The kernel is one of Debian's, fetched with apt-get into a cache folder. The guest sees this
machine's whole file system: reads come from here, writes go to memory and are thrown away, except
below the current directory (and each --rw DIR), which is shared read-write. Environment and
current directory are carried over, KERNEL_VM is the kernel's release. The command's output and
exit status are handed through. Mounted are cgroup2, bpffs, tracefs, debugfs and securityfs; there
is no network device but lo. Without hardware virtualisation everything is 10 to 15 times slower.

Exit status: the command's own; 124 when --timeout ran out; 125 when the machine could not be
started or died, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from kernel_vm.failure import Failed, say
from kernel_vm.kernels import Kernels
from kernel_vm.machine import Machine, Options

EXIT_FAILED = 125


def run(arguments: list[str]) -> int:
    """Do what the command line says and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(_parsed(arguments))
    except Failed as problem:
        say(str(problem))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    if platform.machine() != "x86_64":
        raise Failed(f"made for x86_64, this is {platform.machine()}")
    cache = Path(options.cache or _default_cache()).absolute()
    kernels = Kernels(cache)
    if options.list:
        here = kernels.here()
        for release in sorted({*kernels.offered(), *here}):
            print(release, "(here)" if release in here else "")
        return 0
    kernel = kernels.get(options.kernel)
    if options.fetch_only:
        print(kernel.release)
        return 0
    wanted = Options(
        command=options.command, timeout=options.timeout, boot_timeout=options.boot_timeout,
        memory=options.memory, processors=options.smp, writable=options.rw,
        environment=dict(each.partition("=")[::2] for each in options.env),
        accelerator=options.accel, log=options.log, verbose=options.verbose,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="kernel-vm-") as folder:
        return Machine(kernel, wanted, Path(folder), cache).run()


def _default_cache() -> str:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(home, "kernel-vm")


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kernel-vm", usage="kernel-vm [options] --kernel VERSION -- COMMAND...",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--kernel", metavar="VERSION", help="a version (6.1, 6.12.117) or a whole release name")
    add("--timeout", type=float, metavar="S", help="seconds for the whole run")
    add("--boot-timeout", type=float, default=120, metavar="S", help="seconds until it has booted")
    add("--memory", default="2G", help="memory of the guest (default %(default)s)")
    add("--smp", type=int, default=1, help="processors of the guest (default %(default)s)")
    add("--rw", action="append", default=[], metavar="DIR", help="share DIR read-write as well")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="set in the guest")
    add("--accel", choices=["auto", "tcg", "kvm"], default="auto", help="how qemu runs the guest")
    add("--log", type=Path, metavar="FILE", help="keep the guest's kernel messages in FILE")
    add("--cache", metavar="DIR", help="where kernels are kept (default ~/.cache/kernel-vm)")
    add(
        "--fetch-only", action="store_true", help="bring the kernel, print its release, run nothing"
    )
    add("--list", action="store_true", help="print the kernels on offer, and those at hand")
    add("-v", "--verbose", action="store_true", help="show qemu's command line and when it is up")
    add("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args(arguments)
    if options.command[:1] == ["--"]:
        options.command = options.command[1:]
    if not options.list and not options.kernel:
        parser.error("--kernel is needed")
    if not (options.list or options.fetch_only or options.command):
        parser.error("a command is needed, after --")
    return options
