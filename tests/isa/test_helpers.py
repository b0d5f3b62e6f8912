"""The helper tables against the system's header and against the running kernel's verifier.

`bpftool feature probe` is no judge here: up to libbpf 1.4 it waits for the words "unknown func"
and takes a newer kernel's "program of this type cannot use helper" for a yes.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from ebpfasm.isa import availability
from ebpfasm.isa.helpers import BY_ID, BY_NAME, HELPERS, Param, allowed, find, prototype
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from tests import kernel, support
from tests.isa import judges

HEADER = Path("/usr/include/linux/bpf.h")

# The last minor release of each major one.
RELEASES = {3: range(18, 20), 4: range(21), 5: range(20), 6: range(20), 7: range(100)}

# The table says what 6.18 allows, and what is later known up to here.
JUDGED, KNOWN = (6, 18), (7, 3)

# The header describes these several times over, for several contexts.
OVERLOADED = {"bpf_get_socket_cookie", "bpf_sk_assign"}
# Headers of some releases write other types here: u32 for u64, no const, another name.
REWORDED = {
    "bpf_redirect_map", "bpf_d_path", "bpf_kptr_xchg",
    "bpf_dynptr_from_mem", "bpf_dynptr_read", "bpf_dynptr_write", "bpf_dynptr_data",
}  # fmt: skip


# ---- The laws of the table.


def test_ids_count_up_from_one_and_names_are_unique() -> None:
    assert [helper.id for helper in HELPERS] == list(range(1, len(HELPERS) + 1))
    assert len(BY_NAME) == len(BY_ID) == len(HELPERS)
    assert all(helper.name.startswith("bpf_") for helper in HELPERS)


def test_since_is_a_release_of_linux_and_never_goes_back() -> None:
    releases = [support.release_of(helper.since) for helper in HELPERS]
    assert [each for each in releases if each[1] not in RELEASES[each[0]]] == []
    assert releases == sorted(releases)


def test_every_prototype_parses_into_types_and_names() -> None:
    c_type = re.compile(r"(const )?(struct )?\w+( long)?( \*)?")
    for helper in HELPERS:
        assert c_type.fullmatch(helper.returns), helper
        fixed = helper.params[:-1] if helper.variadic else helper.params
        assert len(fixed) <= 5, helper
        for param in fixed:
            assert c_type.fullmatch(param.type), helper
            assert param.name.isidentifier(), helper


def test_every_doc_is_one_line_of_its_own() -> None:
    assert all(helper.doc.isprintable() and helper.doc for helper in HELPERS)
    assert len({helper.doc for helper in HELPERS}) == len(HELPERS)


def test_a_prototype_reads_as_in_c() -> None:
    lookup, printk, jiffies = BY_ID[1], BY_ID[6], BY_ID[118]
    assert prototype(lookup) == "void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)"
    assert lookup.params == (Param("struct bpf_map *", "map"), Param("const void *", "key"))
    assert prototype(printk) == "long bpf_trace_printk(const char *fmt, u32 fmt_size, ...)"
    assert printk.params[-1] == Param("...", "")
    assert printk.variadic
    assert prototype(jiffies) == "u64 bpf_jiffies64(void)"
    assert jiffies.params == ()


def test_a_helper_is_found_by_id_and_by_either_name() -> None:
    assert find(12) is find("bpf_tail_call") is find("tail_call") is BY_ID[12]
    assert find(0) is find(212) is find(-1) is find("") is find("bpf_") is find("printf") is None


# ---- Availability, without a kernel.


def test_every_program_type_of_libbpf_has_a_set_of_helpers() -> None:
    types = {row.name for row in PROGRAM_TYPES} - {"unspec"}
    assert set(availability.BY_PROGRAM_TYPE) == types
    assert types >= {*availability.LATER, *availability.OPEN_TYPES}


def test_availability_speaks_of_helpers_only_and_leaves_none_out() -> None:
    sets = (*availability.BY_PROGRAM_TYPE.values(), *availability.LATER.values())
    assert {f"bpf_{name}" for name in frozenset().union(*sets)} == set(BY_NAME)


def test_what_a_later_kernel_allows_is_not_allowed_now() -> None:
    for program_type, names in availability.LATER.items():
        assert not names & availability.BY_PROGRAM_TYPE[program_type]


def test_allowed_says_yes_no_or_that_it_cannot_know() -> None:
    assert allowed("xdp_adjust_head", "xdp") is True
    assert allowed(BY_ID[44], "sched_cls") is False
    assert allowed(148, "kprobe") is True  # copy_from_user: a sleepable uprobe may
    assert allowed(148, "xdp") is False
    assert allowed(9999, "xdp") is allowed("nothing", "xdp") is None
    assert allowed(1, "no such type") is allowed(1, "unspec") is None
    assert allowed(1, "ext") is allowed("skb_load_bytes", "struct_ops") is None
    assert allowed("setsockopt", "cgroup_sock") is None  # no in 6.18, yes in 7.3


# ---- The system's headers.


def header_ids(text: str) -> dict[str, int]:
    """Read ___BPF_FUNC_MAPPER: with ids since Linux 6.2, by position before that."""
    entries = re.findall(r"^\tFN\((\w+)(?:, (\d+), ##ctx)?\)", text, re.MULTILINE)
    return {name: int(id or place) for place, (name, id) in enumerate(entries)}


def test_ids_and_names_are_those_of_the_systems_header() -> None:
    ids = header_ids(HEADER.read_text())
    assert ids.pop("unspec") == 0
    assert ids == {name: (find(name) or BY_ID[1]).id for name in ids}


def test_prototypes_are_those_of_the_systems_header() -> None:
    text = HEADER.read_text()
    described = re.findall(r"^ \* ([\w *]*?(bpf_\w+)\(.*\))$", text, re.MULTILINE)
    found = {name: whole for whole, name in described if name not in OVERLOADED}
    assert len(found) >= len(header_ids(text)) - 1 - len(OVERLOADED)
    reworded = {name for name in found if prototype(BY_NAME[name]) != found[name]}
    assert reworded <= REWORDED


# ---- The running kernel.

# Where the attach type decides which helpers there are, or must be given; elsewhere it is 0.
ATTACHED_BY_NUMBER: Mapping[str, str] = {
    "kprobe": "cgroup_inet_ingress trace_kprobe_multi trace_uprobe_multi trace_kprobe_session",
    "xdp": "xdp xdp_devmap xdp_cpumap",
    "cgroup_skb": "cgroup_inet_ingress cgroup_inet_egress",
    "cgroup_sock": "cgroup_inet_sock_create cgroup_inet_sock_release "
        "cgroup_inet4_post_bind cgroup_inet6_post_bind",
    "sock_ops": "cgroup_sock_ops",
    "cgroup_device": "cgroup_device",
    "sk_msg": "sk_msg_verdict",
    "cgroup_sock_addr": "cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect "
        "cgroup_inet6_connect cgroup_udp4_sendmsg cgroup_udp6_sendmsg cgroup_udp4_recvmsg "
        "cgroup_udp6_recvmsg cgroup_inet4_getpeername cgroup_inet6_getsockname "
        "cgroup_unix_connect cgroup_unix_sendmsg cgroup_unix_recvmsg",
    "lirc_mode2": "lirc_mode2",
    "sk_reuseport": "sk_reuseport_select sk_reuseport_select_or_migrate",
    "flow_dissector": "flow_dissector",
    "cgroup_sysctl": "cgroup_sysctl",
    "cgroup_sockopt": "cgroup_getsockopt cgroup_setsockopt",
    "sk_lookup": "sk_lookup",
    "netfilter": "netfilter",
}  # fmt: skip
# Where the kernel's own BTF says what is attached to: the kind of the type, and names.
ATTACHED_BY_BTF: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "tracing": {
        "trace_raw_tp": ("TYPEDEF", "btf_trace_sched_switch"),
        "trace_fentry": ("FUNC", "filp_close tcp_connect bpf_fentry_test1"),
        "trace_fexit": ("FUNC", "filp_close"),
        "modify_return": ("FUNC", "security_file_open bpf_modify_return_test"),
        "trace_iter": ("FUNC", "bpf_iter_task bpf_iter_tcp bpf_iter_unix bpf_iter_bpf_map"),
    },
    "lsm": {
        "lsm_mac": ("FUNC", "bpf_lsm_file_open bpf_lsm_bprm_committed_creds"),
        "lsm_cgroup": ("FUNC", "bpf_lsm_socket_bind bpf_lsm_socket_post_create bpf_lsm_sock_graft"),
    },
}
EXACT = {"xdp", "sched_cls", "socket_filter"}
NOT_JUDGED_HERE = {"unspec", "struct_ops", "ext"}  # availability.OPEN_TYPES say nothing but yes
JUDGED_TYPES = [row for row in PROGRAM_TYPES if row.name not in NOT_JUDGED_HERE]

# Helpers that some form of a program type may call under any licence, although most may not.
FREE_FOR_SOME = {("perf_event", "get_stackid"), ("kprobe", "get_func_ip")}

SLEEPABLE = 16  # BPF_F_SLEEPABLE
RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
NO_SUCH_HELPER = "invalid func"
REFUSALS = ("unknown func", "cannot use helper", "not allowed in probe", NO_SUCH_HELPER)


class Attachment(NamedTuple):
    """What a program is loaded for."""

    program_type: int
    attach_type: int = 0
    btf_id: int = 0
    flags: int = 0


def verdict(code: bytes, where: Attachment, licence: bytes = b"GPL") -> str | None:
    """What the verifier says to a program: None if nothing, as it never looked at it."""
    data, text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(licence)
    log = ctypes.create_string_buffer(1 << 14)
    attributes = struct.pack(
        "=IIQQIIQII16sIIIIQIIQIII", where.program_type, len(code) // 8, ctypes.addressof(data),
        ctypes.addressof(text), 1, len(log), ctypes.addressof(log), 0, where.flags, b"", 0,
        where.attach_type, 0, 0, 0, 0, 0, 0, 0, where.btf_id, 0,
    )  # fmt: skip
    try:
        os.close(kernel.call(kernel.PROG_LOAD, attributes)[0])
    except kernel.Refused:
        # It looks at a program once it has written a register's or an instruction's number.
        said = log.value.decode()
        return said if re.search(r"^\d+: |R\d|^GPL|func", said, re.MULTILINE) else None
    return "loaded"


def verdict_on_call(number: int, where: Attachment, licence: bytes = b"GPL") -> str:
    """What the verifier says to a call of a helper with no arguments prepared."""
    call = struct.pack("=BBhi", 0x85, 0, 0, number)
    return verdict(call + RETURN_ZERO, where, licence) or ""


@cache
def attachments(program_type: str) -> tuple[Attachment, ...]:
    """Each way to load a program of a type that this kernel has."""
    return tuple(each for each in _conceivable(program_type) if verdict(RETURN_ZERO, each))


def _conceivable(program_type: str) -> Iterator[Attachment]:
    number = PROGRAM_TYPES.id_of(program_type)
    assert number is not None
    for flags in (0, SLEEPABLE):
        for name in ATTACHED_BY_NUMBER.get(program_type, "cgroup_inet_ingress").split():
            yield Attachment(number, ATTACH_TYPES.id_of(name) or 0, 0, flags)
        for name, (kind, places) in ATTACHED_BY_BTF.get(program_type, {}).items():
            for place in places.split():
                btf_id = btf_ids(kind).get(place)
                if btf_id is not None:
                    yield Attachment(number, ATTACH_TYPES.id_of(name) or 0, btf_id, flags)


@cache
def btf_ids(kind: str) -> dict[str, int]:
    types = judges.kernel_btf().types
    return {each["name"]: id for id, each in types.items() if each["kind"] == kind}


@cache
def granted(program_type: str) -> frozenset[str]:
    """The helpers that this kernel lets some program of a type call."""
    return frozenset(
        helper.name.removeprefix("bpf_")
        for helper in HELPERS
        if any(_grants(verdict_on_call(helper.id, each)) for each in attachments(program_type))
    )


def _grants(said: str) -> bool:
    refused = any(word in said for word in REFUSALS)
    # A helper that may sleep is refused in other words by each release.
    return bool(said) and not refused and not re.search("might sleep|sleepable helper", said)


def only_on_kernels_that_the_table_knows() -> None:
    if support.kernel_release() > KNOWN:
        pytest.skip(f"the table speaks of Linux up to {KNOWN}, this is {support.kernel_release()}")


@pytest.mark.kernel
@pytest.mark.parametrize("program_type", [row.name for row in JUDGED_TYPES])
def test_no_helper_is_denied_that_the_kernel_grants(program_type: str) -> None:
    only_on_kernels_that_the_table_knows()
    known = {name for name in granted(program_type) if allowed(name, program_type) is not False}
    assert granted(program_type) - known == set()


@pytest.mark.kernel
@pytest.mark.parametrize("program_type", sorted(EXACT))
def test_helpers_of_network_programs_are_exactly_the_kernels(program_type: str) -> None:
    only_on_kernels_that_the_table_knows()
    if support.kernel_release() < JUDGED:
        pytest.skip(f"the table speaks of Linux {JUDGED}, older kernels have fewer helpers")
    assert granted(program_type) == availability.BY_PROGRAM_TYPE[program_type]


@pytest.mark.kernel
def test_the_kernel_knows_the_helpers_of_its_own_release_and_no_others() -> None:
    filter = Attachment(kernel.SOCKET_FILTER)
    known = {
        helper.name for helper in HELPERS
        if NO_SUCH_HELPER not in verdict_on_call(helper.id, filter)
    }  # fmt: skip
    release = support.kernel_release()
    assert known == {each.name for each in HELPERS if support.release_of(each.since) <= release}
    assert NO_SUCH_HELPER in verdict_on_call(len(HELPERS) + 1, filter)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "program_type", [row.name for row in JUDGED_TYPES if row.name != "lsm"]
)  # an LSM program is never loaded without a GPL-compatible licence
def test_the_kernel_refuses_just_the_gpl_only_helpers_to_other_programs(program_type: str) -> None:
    for name in sorted(granted(program_type)):
        helper = BY_NAME[f"bpf_{name}"]
        said = [
            verdict_on_call(helper.id, each, b"Proprietary") for each in attachments(program_type)
        ]
        refused = ["GPL-restricted" in each for each in said]
        if helper.gpl_only and (program_type, name) not in FREE_FOR_SOME:
            assert any(refused), name
        elif not helper.gpl_only:
            assert not any(refused), name
