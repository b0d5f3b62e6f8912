"""qemu with one kernel and one command in it; the command's output is handed through."""

from __future__ import annotations

import os
import re
import selectors
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from kernel_vm.failure import Failed, need, say
from kernel_vm.initrd import initrd
from kernel_vm.kernels import Kernel

EXIT_TIMEOUT = 124

_ARGUMENTS = (
    "console=ttyS0", "panic=-1", "oops=panic", "mitigations=off", "tsc=reliable",
    "no_timer_check", "audit=0", "cryptomgr.notests", "random.trust_cpu=on",
    "systemd.unified_cgroup_hierarchy=1", "cgroup_no_v1=all", "lsm=landlock,lockdown,yama,bpf",
)  # fmt: skip
_PORTS = ("ctl", "out", "err")
_PLAIN = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")


@dataclass(frozen=True)
class Options:
    """How to run a command. Times in seconds."""

    command: list[str]
    timeout: float | None = None
    boot_timeout: float = 120
    memory: str = "2G"
    processors: int = 1
    writable: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    accelerator: str = "auto"
    log: Path | None = None
    verbose: bool = False


class Machine:
    """One run; `folder` is for its sockets and its console, and is thrown away after."""

    def __init__(self, kernel: Kernel, options: Options, folder: Path, cache: Path) -> None:
        self._kernel = kernel
        self._options = options
        self._folder = folder
        self._console = folder / "console"
        self._cache = cache

    def run(self) -> int:
        """Boot, run the command, and return its exit status. Raises Failed."""
        listeners = {name: self._listen(name) for name in _PORTS}
        arguments = self._arguments()
        if self._options.verbose:
            say(shlex.join(arguments))
        qemu = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            return _Wait(self, qemu, listeners).status()
        finally:
            qemu.kill()  # the command has ended, and what it wrote was synchronised
            qemu.wait()
            if self._options.log is not None and self._console.exists():
                self._options.log.write_bytes(self._console.read_bytes())

    @property
    def options(self) -> Options:
        """What was asked for."""
        return self._options

    def tail(self) -> str:
        """The end of the guest's console, for messages."""
        if not self._console.exists():
            return ""
        lines = self._console.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(["last lines of its console:", *lines[-40:]]) if lines else ""

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._folder / name))
        listener.listen(1)
        return listener

    def _shares(self) -> list[str]:
        return [os.path.realpath(each) for each in [".", *self._options.writable]]

    def _arguments(self) -> list[str]:
        options = self._options
        qemu = need("qemu-system-x86_64", "qemu-system-x86")
        shares = self._shares()
        archive = self._folder / "initrd"
        archive.write_bytes(initrd(self._kernel, options.command, shares, options.environment))
        accelerator = options.accelerator
        if accelerator == "auto":
            usable = _kvm_boots(qemu, self._kernel, archive, self._cache)
            accelerator = "kvm" if usable else "tcg"
        words = [*_ARGUMENTS, *([] if accelerator == "kvm" else _clock())]
        words += [] if options.log else ["quiet"]
        # Nehalem has what Python's wheels need, and emulates faster than newer models.
        model = "max" if accelerator == "kvm" else "Nehalem"
        threads = "" if accelerator == "kvm" else ",thread=multi"
        found = [qemu, *_PLAIN, "-machine", "q35", "-accel", accelerator + threads, "-cpu", model]
        found += ["-m", options.memory, "-smp", str(options.processors)]
        found += ["-kernel", str(self._kernel.image), "-initrd", str(archive)]
        found += ["-append", " ".join(words)]
        found += ["-chardev", f"file,id=console,path={self._console}", "-serial", "chardev:console"]
        found += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
        for name in _PORTS:
            found += ["-chardev", f"socket,id={name},path={self._folder / name}"]
            found += ["-device", f"virtserialport,chardev={name},name={name}"]
        found += _shared("root", "/", readonly=True)
        for number, path in enumerate(shares):
            found += _shared(f"rw{number}", path)
        return found


def _shared(tag: str, path: str, *, readonly: bool = False) -> list[str]:
    extra = ",multidevs=remap,readonly=on" if readonly else ",multidevs=remap"
    place = path.replace(",", ",,")
    device = f"local,id={tag},path={place},security_model=none{extra}"
    return ["-fsdev", device, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


@dataclass(frozen=True)
class _Port:
    """One of the machine's ways out: at first a socket that waits for qemu, then the connection."""

    name: str
    socket: socket.socket
    listening: bool


class _Wait:
    """Hands output through until the command ends."""

    def __init__(
        self, machine: Machine, qemu: subprocess.Popen[bytes], listeners: dict[str, socket.socket]
    ) -> None:
        self._machine = machine
        self._qemu = qemu
        self._started = time.monotonic()
        self._ready = False
        self._control, self._said = b"", b""
        self._selector = selectors.DefaultSelector()
        for name, listener in listeners.items():
            self._selector.register(listener, selectors.EVENT_READ, _Port(name, listener, True))
        assert qemu.stdout is not None
        self._qemu_says = qemu.stdout
        os.set_blocking(self._qemu_says.fileno(), False)
        self._selector.register(self._qemu_says, selectors.EVENT_READ, None)

    def status(self) -> int:
        """The command's exit status. Raises Failed where the machine dies first."""
        while True:
            if self._late():
                return EXIT_TIMEOUT
            if self._qemu.poll() is not None:
                said = (self._said + (self._qemu_says.read() or b"")).decode(errors="replace")
                raise Failed(f"the machine ended by itself\n{said}{self._machine.tail()}")
            for key, _ in self._selector.select(0.2):
                self._take(key)
            status = self._told()
            if status is not None:
                self._drain()
                return status

    def _late(self) -> bool:
        options, passed = self._machine.options, time.monotonic() - self._started
        if not self._ready and passed > options.boot_timeout:
            why = f"the kernel did not get to the command within {options.boot_timeout:g} s"
            raise Failed(f"{why}\n{self._machine.tail()}")
        if options.timeout is not None and passed > options.timeout:
            say(f"time ran out after {options.timeout:g} s")
            return True
        return False

    def _take(self, key: selectors.SelectorKey) -> None:
        port: _Port | None = key.data
        if port is not None and port.listening:
            connection, _ = port.socket.accept()
            self._selector.unregister(port.socket)
            port.socket.close()
            self._selector.register(
                connection, selectors.EVENT_READ, _Port(port.name, connection, False)
            )
            return
        content = self._qemu_says.read() if port is None else port.socket.recv(1 << 16)
        if not content:
            self._selector.unregister(key.fileobj)
            return
        match port.name if port is not None else None:
            case None:
                self._said += content
            case "ctl":
                self._control += content
            case name:
                _write(1 if name == "out" else 2, content)

    def _told(self) -> int | None:
        """What the second stage says: that it is ready, and the exit status."""
        while b"\n" in self._control:
            line, _, self._control = self._control.partition(b"\n")
            match line.decode().split():
                case ["ready"]:
                    self._ready = True
                    if self._machine.options.verbose:
                        say(f"the command starts after {time.monotonic() - self._started:.1f} s")
                case ["exit", number]:
                    return int(number)
                case _:
                    pass
        return None

    def _drain(self) -> None:
        """What the two streams still hold came before the status."""
        for key in list(self._selector.get_map().values()):
            port: _Port | None = key.data
            if port is None or port.name not in ("out", "err") or port.listening:
                continue
            port.socket.settimeout(0.05)
            try:
                while content := port.socket.recv(1 << 16):
                    _write(1 if port.name == "out" else 2, content)
            except TimeoutError:
                pass


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


def _clock() -> list[str]:
    """The rate of the clock that an emulated processor shows, which is the host's.

    Left to measure it, the guest goes wrong by a factor where the host is busy.
    """
    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^bogomips\s*: ([\d.]+)", text, re.MULTILINE)
    return [f"tsc_early_khz={round(float(found[1]) * 500)}"] if found else []


def _kvm_boots(qemu: str, kernel: Kernel, archive: Path, cache: Path) -> bool:
    """Whether a kernel gets anywhere with /dev/kvm, tried once a boot of the host.

    Some KVMs, nested or in software, open well and never reach the kernel's first line.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    if not any(Path(f"/sys/module/{each}").is_dir() for each in ("kvm_intel", "kvm_amd")):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    memo = cache / f"kvm-{boot}"
    if memo.exists():
        return memo.read_text(encoding="ascii") == "yes"
    words = "console=ttyS0 panic=-1 quiet rdinit=/probe"
    command = [qemu, *_PLAIN, "-machine", "q35", "-accel", "kvm", "-cpu", "max", "-m", "512M"]
    command += ["-serial", "stdio", "-kernel", str(kernel.image), "-initrd", str(archive)]
    try:
        said = subprocess.run(
            [*command, "-append", words], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=15, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        said = b""
    works = b"kernel-vm-probe" in said
    memo.write_text("yes" if works else "no", encoding="ascii")
    return works
