"""USDT probes: places that a program marks with SDT notes, and libbpf's tables of arguments."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import ElfError, LoadError
from ebpfasm.runtime.attach.binaries import Place, find_binary, unreadable
from ebpfasm.runtime.attach.failures import check_type
from ebpfasm.runtime.attach.perf import no_symbol
from ebpfasm.runtime.attach.uprobes import attach_at, attach_multi
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
    from ebpfasm.runtime.attach.usdt_specs import UsdtTables

    check_type(program, "kprobe")
    path = find_binary(program, os.fspath(binary), pid)
    probes = _probes(program, path, provider, name)
    with UsdtTables(program) as tables:
        cookies = [tables.add(each, cookie) for each in probes]
    return _attach(program, path, probes, cookies, pid)


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
