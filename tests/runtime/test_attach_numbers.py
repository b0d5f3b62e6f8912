"""Numbers that do not fit the kernel's fields are told, never cut: a pid of 1 << 40 is no pid 0."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfasm.errors import LoadError
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.perf_event import PerfEvent, open_event
from tests.runtime.attaching import counting

pytestmark = pytest.mark.kernel

COOKIES = [-1, 1 << 64]
PIDS = [-1, 0, 1 << 40]
PROBE = "libc.so.6", "malloc"


@pytest.mark.parametrize("cookie", COOKIES)
def test_a_cookie_has_64_bits(cookie: int) -> None:
    told = f"cookie is a number from 0 to 18446744073709551615, not {cookie}"
    for section in ("tracepoint/sched/sched_switch", "raw_tp/sched_switch", "perf_event"):
        with counting(section) as counter, pytest.raises(ValueError, match=told):
            counter.program.attach(cookie=cookie)
    with counting("perf_event") as counter, pytest.raises(TypeError, match=r"not 1\.5"):
        counter.program.attach(cookie=1.5)


@pytest.mark.needs("uprobes")
@pytest.mark.parametrize("pid", PIDS)
def test_a_process_has_a_number_of_its_own(pid: int) -> None:
    told = f"pid is a number from 1 to 4194304, not {pid}"
    with counting("uprobe") as counter:
        with pytest.raises(ValueError, match=told):
            counter.program.attach_uprobe(*PROBE, pid=pid)
        with pytest.raises(ValueError, match=told):
            counter.program.attach_usdt("libc.so.6", "libc", "setjmp", pid=pid)
    with counting("perf_event") as counter, pytest.raises(ValueError, match=told):
        counter.program.attach_perf_event(pid=pid)


def test_numbers_of_perf_events_have_their_range() -> None:
    with counting("perf_event") as counter:
        attach = counter.program.attach_perf_event
        for word, number in (("period", -1), ("period", 1 << 64), ("frequency", -1), ("cpu", -1)):
            with pytest.raises(ValueError, match=f"{word} is a number from 0 to"):
                attach(**{word: number})
    with pytest.raises(ValueError, match="has a number that does not fit"):
        open_event(PerfEvent(1, 1 << 64))


def test_numbers_on_the_network_have_their_range() -> None:
    with VethPair() as pair, pair.near.entered():
        with counting("tc") as counter:
            for priority in (0, -1, 1 << 16):
                with pytest.raises(ValueError, match="priority is a number from 1 to 65535"):
                    counter.program.attach_tc("veth0", priority=priority)
        with counting("lwt_xmit") as counter:
            for word, number in (("headroom", 257), ("headroom", -1), ("table", 1 << 32)):
                options: dict[str, Any] = {word: number}
                with pytest.raises(ValueError, match=f"{word} is a number from 0 to"):
                    counter.program.attach_route("10.9.0.0/16", "veth0", **options)
            with pytest.raises(LoadError, match="'here' is no gateway"):
                counter.program.attach_route("10.9.0.0/16", "veth0", gateway="here")


@pytest.mark.needs("netfilter links")
def test_a_priority_of_netfilter_has_32_bits() -> None:
    told = "priority is a number from -2147483648 to"
    with counting("netfilter", 1) as counter, pytest.raises(ValueError, match=told):
        counter.program.attach_netfilter(priority=1 << 31)


@pytest.mark.parametrize("descriptor", [-1, 1 << 20])
def test_a_descriptor_that_is_not_open_is_told(descriptor: int) -> None:
    told = f"no cgroup 'descriptor {descriptor}'"
    with counting("cgroup_skb/egress", 1) as counter, pytest.raises(LoadError, match=told):
        counter.program.attach_cgroup(descriptor)
    told = f"no namespace {descriptor}"
    with counting("sk_lookup", 1) as counter, pytest.raises(LoadError, match=told):
        counter.program.attach_netns(descriptor)
