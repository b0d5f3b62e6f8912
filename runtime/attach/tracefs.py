"""The kernel's tracing file system: which tracepoints and functions there are to attach to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import LoadError, error

# Where it is mounted, and where kernels before 4.1 had it.
_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def tracefs() -> Path:
    """Where tracefs is mounted. Raises LoadError where it is not, or may not be read."""
    for place in _PLACES:
        try:
            if (place / "events").is_dir():
                return place
        except PermissionError:
            message = f"cannot read {place}: CAP_DAC_READ_SEARCH is missing (EACCES)"
            hint = "run it as root (sudo), or with CAP_DAC_READ_SEARCH"
            raise LoadError(error("permission", message, hint=hint), errno=errno.EACCES) from None
    message = "tracefs is not mounted, and tells the numbers of tracepoints"
    hint = f"sudo mount -t tracefs tracefs {_PLACES[0]}"
    raise LoadError(error("attach-failed", message, hint=hint), errno=errno.ENOENT)


def event_id(category: str, name: str) -> int:
    """The number of a tracepoint for perf_event_open(2). Raises LoadError where there is none."""
    events = tracefs() / "events"
    plain = bool(category) and bool(name) and not {"/", "\0"} & {*category, *name}
    try:
        if plain and ".." not in (category, name):
            return int((events / category / name / "id").read_text(encoding="ascii"))
    except FileNotFoundError:
        pass
    except PermissionError:
        why = "CAP_DAC_READ_SEARCH is missing (EACCES)"
        message = f"cannot read the tracepoint {category}/{name}: {why}"
        hint = "run it as root (sudo), or with CAP_DAC_READ_SEARCH"
        raise LoadError(error("permission", message, hint=hint), errno=errno.EACCES) from None
    raise no_tracepoint(f"{category}/{name}")


def no_tracepoint(word: str) -> LoadError:
    """The error for a tracepoint that this kernel has not, with the nearest that it has.

    `word` is "category/name", or the name alone.
    """
    known = list(tracepoints())
    names = known if "/" in word else [each.partition("/")[2] for each in known]
    hint = did_you_mean(word, names)
    if hint is None and "/" in word:
        name = word.partition("/")[2]
        hint = next((f"it is {each}" for each in known if each.endswith(f"/{name}")), None)
    if hint is None:
        hint = "tracefs/available_events lists them"
    message = f"this kernel has no tracepoint {word}"
    return LoadError(error("attach-failed", message, hint=hint), errno=errno.ENOENT)


def tracepoints() -> Iterator[str]:
    """All tracepoints as "category/name"; none where tracefs does not tell."""
    try:
        with open(tracefs() / "available_events", encoding="ascii", errors="replace") as file:
            for line in file:
                yield line.strip().replace(":", "/", 1)
    except (OSError, LoadError):
        return


def traceable_functions() -> Iterator[str]:
    """Functions that ftrace can attach to (available_filter_functions); none where unknown."""
    try:
        place = tracefs() / "available_filter_functions"
        with open(place, encoding="ascii", errors="replace") as file:
            for line in file:
                yield line.split(None, 1)[0]
    except (OSError, LoadError):
        return
