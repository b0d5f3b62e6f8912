"""Network interfaces by netlink, through pyroute2.

Every call runs in a thread of its own: pyroute2 drives an event loop, which the caller's thread
may have one of already, and a thread can enter another network namespace without the caller
noticing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from ebpfasm.runtime.network.netns import in_thread

T = TypeVar("T")

_MODES = {"IFLA_XDP_DRV_PROG_ID": "native", "IFLA_XDP_SKB_PROG_ID": "generic",
          "IFLA_XDP_HW_PROG_ID": "offload"}  # fmt: skip


def with_netlink(task: Callable[[Any], T], *, namespace: int | None = None) -> T:
    """Run a task with an open pyroute2.IPRoute, in a namespace given by its descriptor.

    Raises OSError where the kernel refuses, whatever else the task raises.
    """
    return in_thread(lambda: _run(task), namespace=namespace)


def _run(task: Callable[[Any], T]) -> T:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]
    from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

    try:
        with IPRoute() as netlink:
            return task(netlink)
    except NetlinkError as refusal:
        raise OSError(refusal.code, os.strerror(refusal.code)) from None


def set_xdp(
    ifindex: int, fd: int, flags: int, *, expected: int | None = None, namespace: int | None = None
) -> None:
    """Put a program on an interface's XDP hook, or with -1 take it off. Raises OSError.

    With `expected`, a program's descriptor, only in its place (Linux 5.7).
    """
    attributes: list[tuple[str, int]] = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    if expected is not None:
        attributes.append(("IFLA_XDP_EXPECTED_FD", expected))
    with_netlink(
        lambda netlink: netlink.link("set", index=ifindex, xdp={"attrs": attributes}),
        namespace=namespace,
    )


def xdp_programs(ifindex: int, *, namespace: int | None = None) -> dict[str, int]:
    """Ids of the programs on an interface, by mode. Raises OSError."""
    found = with_netlink(lambda netlink: netlink.get_links(ifindex), namespace=namespace)
    xdp = found[0].get_attr("IFLA_XDP") if found else None
    if xdp is None:
        return {}
    programs = {mode: xdp.get_attr(name) for name, mode in _MODES.items()}
    programs = {mode: number for mode, number in programs.items() if number}
    single = xdp.get_attr("IFLA_XDP_PROG_ID")
    return programs or ({"auto": single} if single else {})
