"""A program of each type is loaded; what this kernel has not is left to tools/kernel-vm."""

from __future__ import annotations

import errno
import gzip
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.ir import CollectionSpec, ProgramSpec, collect
from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.release import is_older_than
from ebpfasm.runtime.statistics import run_statistics
from tests.elf.objects import compiled
from tests.runtime.samples import bpftool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]

RETURNS_ONE = assemble('.license "GPL"\n.section xdp\nmain:\n r0 = 1\n exit\n', name="one.s")

ATTACH_TYPES = {
    "cgroup_skb": "cgroup_inet_ingress",
    "cgroup_sock": "cgroup_inet_sock_create",
    "cgroup_sock_addr": "cgroup_inet4_connect",
    "cgroup_sockopt": "cgroup_getsockopt",
    "sk_lookup": "sk_lookup",
    "sk_reuseport": "sk_reuseport_select",
    "netfilter": "netfilter",
}
SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
# Types that a kernel may be built without; those that it must have are not here.
OPTIONS = {
    "lirc_mode2": "CONFIG_BPF_LIRC_MODE2",
    "lsm": "CONFIG_BPF_LSM",
    "netfilter": "CONFIG_NETFILTER_BPF_LINK",
}
# Bound to something: tested below.
BOUND = {"unspec", "tracing", "struct_ops", "ext", "lsm"}


@cache
def configured(option: str) -> bool:
    """Whether the kernel tells that it was built with an option."""
    place = Path("/proc/config.gz")
    if not place.exists():
        return False
    return f"\n{option}=" in gzip.decompress(place.read_bytes()).decode()


def program(type: str, **changes: object) -> ProgramSpec:
    base = replace(RETURNS_ONE.programs["main"], type=type, section="", attach_type="")
    return replace(base, **changes)  # type: ignore[arg-type]


def loads(spec: ProgramSpec) -> None:
    with load(collect([spec])) as live:
        shown = bpftool("prog", "show", "id", live.programs["main"].id)
        # Older bpftool has a number for types that it does not know.
        assert shown["type"] in (spec.type, PROGRAM_TYPES.by_name[spec.type].id)
        assert live.programs["main"].info().type == spec.type
        assert shown["name"] == "main"


@pytest.mark.parametrize("type", [each.name for each in PROGRAM_TYPES if each.name not in BOUND])
def test_a_program_of_each_type_loads(type: str) -> None:
    if type in OPTIONS and not configured(OPTIONS[type]):
        pytest.skip(f"this kernel is built without {OPTIONS[type]}")
    since = PROGRAM_TYPES.by_name[type].since
    if is_older_than(since):
        with pytest.raises(NotSupported, match=f"program type {type} .*Linux {since} has it"):
            loads(program(type))
        return
    flags = SLEEPABLE if type == "syscall" else 0
    loads(program(type, attach_type=ATTACH_TYPES.get(type, ""), flags=flags))


@pytest.mark.parametrize(
    ("attach_type", "target"), [("trace_raw_tp", "sched_switch"), ("trace_iter", "task")]
)
def test_tracing_programs_are_bound_by_the_kernels_types(attach_type: str, target: str) -> None:
    spec = program("tracing", attach_type=attach_type, attach_target=target)
    with load(collect([spec])) as live:
        info = live.programs["main"].info()
        assert info.type == "tracing"
        if not is_older_than("5.19"):
            assert info.attach_btf_id > 0
            assert info.attach_btf_object_id > 0


@pytest.mark.tool("clang")
@pytest.mark.needs("addresses of functions")
def test_an_extension_is_bound_to_a_function_of_the_program_that_is_given() -> None:
    with ebpfasm.load(compiled("calls"), programs=["first"]) as target:
        first = target.programs["first"]
        collection = ebpfasm.open(compiled("extension"))
        spec = collection.programs["replacement"]
        try:
            with load(collection, targets={"replacement": first}) as live:
                info = live.programs["replacement"].info()
                assert info.type == "ext"
                assert info.attach_btf_object_id == first.info().btf_id
        except LoadError as caught:
            if caught.errno != errno.EPERM:
                raise
            pytest.skip("this machine forbids extensions, to root too: run it in a kernel-vm")
        with pytest.raises(LoadError) as refusal:
            load(collect([replace(spec, attach_target="nobody")]), targets={"replacement": first})
    assert refusal.value.diagnostics[0].message == (
        "program 'replacement': the program it is to be attached to has no function 'nobody'"
    )
    with pytest.raises(LoadError) as refusal:
        load(collection)
    (diagnostic,) = refusal.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "load-target",
        "program 'replacement': the program whose function 'global_one' it replaces is not given",
        "load(..., targets={'replacement': program})",
    )


UNKNOWN = [
    ("tracing", "trace_fentry", "no_such_function", "the kernel has no function"),
    ("tracing", "trace_raw_tp", "no_such_tracepoint", "the kernel has no tracepoint"),
    ("tracing", "trace_iter", "no_such_iterator", "the kernel has no iterator"),
    ("lsm", "lsm_mac", "no_such_hook", "the kernel has no security hook"),
    ("tracing", "trace_fentry", "no_such_module:function", "module 'no_such_module' has no"),
]


@pytest.mark.parametrize(("type", "attach_type", "target", "sentence"), UNKNOWN)
def test_a_target_that_is_not_there_is_named(
    type: str, attach_type: str, target: str, sentence: str
) -> None:
    spec = program(type, attach_type=attach_type, attach_target=target)
    with pytest.raises(LoadError) as refusal:
        load(collect([spec]))
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.code == "load-target"
    assert diagnostic.message.startswith(f"program 'main': {sentence}")
    assert diagnostic.message.endswith(repr(target.rpartition(":")[2]))


def test_a_target_that_nobody_says_is_asked_for() -> None:
    with pytest.raises(LoadError) as refusal:
        load(collect([program("tracing", attach_type="trace_fentry")]))
    (diagnostic,) = refusal.value.diagnostics
    assert (diagnostic.message, diagnostic.hint) == (
        "program 'main': nothing says what it is to be attached to",
        "name it in the section, as in fentry/NAME",
    )


def test_a_type_by_its_number_is_the_kernels_affair() -> None:
    spec = program("prog_type#1")
    with load(collect([spec])) as live:
        assert live.programs["main"].info().type == "socket_filter"
    with pytest.raises(LoadError, match="it does not take this program type"):
        load(collect([program("prog_type#4711")]))


@pytest.mark.tool("clang")
def test_a_struct_ops_table_is_registered_and_taken_back() -> None:
    def names() -> list[str]:
        place = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
        return place.read_text().split()

    with ebpfasm.load(compiled("struct_ops")) as live:
        assert {each.type for each in live.programs.values()} == {"struct_ops"}
        assert "bpf_plain" not in names()
        with live.attach_struct_ops("plain") as link:
            assert "bpf_plain" in names()
            (shown,) = [each for each in bpftool("struct_ops", "show") if each["name"] == "plain"]
            assert shown["id"] == link.info().details["map_id"]
            with pytest.raises(LoadError, match="cannot register map 'plain': "):
                live.attach_struct_ops("plain")
        assert "bpf_plain" not in names()


@pytest.mark.tool("clang")
def test_struct_ops_programs_need_their_table() -> None:
    spec = ebpfasm.open(compiled("struct_ops"))
    bare = CollectionSpec(spec.programs, {}, license="GPL", debug=spec.debug)
    with pytest.raises(LoadError) as refusal:
        load(bare)
    assert [each.code for each in refusal.value.diagnostics] == ["load-target"] * 3


def test_runs_are_counted_while_statistics_are_on() -> None:
    with load(RETURNS_ONE) as live:
        one = live.programs["main"]
        one.test_run(bytes(64), repeat=5)
        assert one.info().run_count == 0
        with run_statistics():
            one.test_run(bytes(64), repeat=5)
            info = one.info()
        assert info.run_count == 5
        assert info.run_time_ns > 0
        assert bpftool("prog", "show", "id", info.id)["run_cnt"] == 5
