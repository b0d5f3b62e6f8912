"""USDT probes: places that a program marks with SDT notes, and libbpf's tables of arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import ElfError, LoadError, unsupported
from ebpfasm.runtime.attach.binaries import Place, find_binary, unreadable
from ebpfasm.runtime.attach.failures import check_type
from ebpfasm.runtime.attach.perf import no_symbol
from ebpfasm.runtime.attach.uprobes import attach_at, attach_multi
from ebpfasm.runtime.attach.usdt_specs import UsdtTables
from ebpfasm.runtime.links import Link, Links

if TYPE_CHECKING:
    from ebpfasm.elf.binaries import Probe
    from ebpfasm.runtime.attach.methods import Attachable


def attach_usdt(
    program: Attachable,
    binary: str | os.PathLike[str],
    provider: str,
    name: str,
    *,
    pid: int | None,
    cookie: int,
) -> Link:
    """Attach to a USDT probe; `Program.attach_usdt` tells how."""
    check_type(program, "kprobe")
    path = find_binary(program, os.fspath(binary), pid)
    probes = _probes(program, path, provider, name)
    tables = UsdtTables(program)
    try:
        numbers = [tables.add(each, cookie) for each in probes]
        if not tables.by_address:
            return _attach(program, path, probes, numbers, pid)
        addresses = [_address(program, path, each, pid) for each in probes]
        link = _attach(program, path, probes, [0] * len(probes), pid)
        return _Located(link, tables.taken(), dict(zip(addresses, numbers, strict=True)))
    finally:
        tables.close()


class _Located(Links):
    """Probes whose programs find their descriptions by address, for want of cookies."""

    def __init__(self, link: Link, tables: UsdtTables, numbers: dict[int, int]) -> None:
        super().__init__(link.kind, [link], link.where)
        self._tables, self._addresses = tables, list(numbers)
        try:
            for address, number in numbers.items():
                tables.locate(address, number)
        except BaseException:
            self.detach()
            raise

    def _release(self, *, detach: bool) -> None:
        try:
            super()._release(detach=detach)
        finally:
            for each in self._addresses if detach else ():
                self._tables.forget(each)
            self._tables.close()


def _address(program: Attachable, path: str, probe: Probe, pid: int | None) -> int:
    """Where a probe is in memory. Raises NotSupported where that differs between processes."""
    if probe.address:
        return probe.address
    if pid is None:
        hint = "give the process (pid=), or link the program with -no-pie"
        raise unsupported(
            "the arguments of a USDT probe in a library without a cookie", "5.15", hint=hint
        )
    for begin, offset, size in mapped_parts(pid, path):
        if offset <= probe.offset < offset + size:
            return begin + probe.offset - offset
    raise no_symbol(program, f"process {pid} has not mapped {path}", None)


def mapped_parts(pid: int, path: str) -> Iterator[tuple[int, int, int]]:
    """Where a process has executable parts of a file: address, offset in the file, and bytes."""
    try:
        file = os.stat(path)
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    inside = path.removeprefix(f"/proc/{pid}/root")  # as the process calls it
    for line in lines.splitlines():
        span, rights, offset, device, inode, *name = line.split(maxsplit=5)
        major, minor = (int(each, 16) for each in device.split(":"))
        # Of a file in an overlay the kernel may tell the numbers of the one beneath.
        same = (os.makedev(major, minor), int(inode)) == (file.st_dev, file.st_ino)
        if "x" in rights and (same or name == [inside]):
            begin, end = (int(each, 16) for each in span.split("-"))
            yield begin, int(offset, 16), end - begin


def _attach(
    program: Attachable, path: str, probes: list[Probe], cookies: list[int], pid: int | None
) -> Link:
    places = [Place(path, each.offset, f"{each.provider}:{each.name}") for each in probes]
    counters = [each.semaphore for each in probes]
    if program.spec.attach_type == "trace_uprobe_multi":
        return attach_multi(
            program, path, places, pid=pid, retprobe=False, cookies=cookies, counters=counters
        )
    made: list[Link] = []
    try:
        for place, counter, cookie in zip(places, counters, cookies, strict=True):
            made.append(attach_at(program, place, pid=pid, cookie=cookie, counter=counter))
    except BaseException:
        for link in made:
            with suppress(LoadError):
                link.detach()
        raise
    if len(made) == 1:
        return made[0]
    return Links(made[0].kind, made, f"usdt {path}:{places[0].name} ({len(made)} places)")


def _probes(program: Attachable, path: str, provider: str, name: str) -> list[Probe]:
    from ebpfasm.elf.binaries import read_probes

    try:
        known = read_probes(path)
    except (ElfError, OSError) as problem:
        unreadable(program, path, problem)
    found = [each for each in known if (each.provider, each.name) == (provider, name)]
    if found:
        return found
    word = f"{provider}:{name}"
    names = {f"{each.provider}:{each.name}" for each in known}
    hint = did_you_mean(word, names) or (
        f"it has {', '.join(sorted(names)[:20])}" if names else "it has none (no .note.stapsdt)"
    )
    raise no_symbol(program, f"{path} has no USDT probe {word}", hint)
