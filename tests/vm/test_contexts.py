"""Contexts: which fields can be written, by the kernel's verdict, and what pointers lead to."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Event, Socket, frames
from ebpfasm.analysis.vm.context import layout
from ebpfasm.errors import LoadError
from ebpfasm.isa import contexts
from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.isa.sections import SECTIONS, SectionSpec
from ebpfasm.native import native_core
from tests.needed import need

NATIVE = [True, False] if native_core() is not None else [False]


def of_context(row: SectionSpec) -> str:
    """The struct of a section's programs; empty for none, and for what no table can know."""
    found = PROGRAM_TYPES.find(row.program_type)
    unsure = row.needs_btf or row.libbpf == "0.x" or row.program_type == "kprobe"
    return "" if found is None or unsure else found.context or ""


HOOKS = list(
    {(each.program_type, each.attach_type): each for each in SECTIONS if of_context(each)}.values()
)


def kernel_takes(section: str, field: contexts.ContextField) -> bool:
    """Whether the verifier lets a program of a section write a field."""
    width = 8 * field.size if field.size in (1, 2, 4, 8) else 32
    store = f"*(u{width} *)(r1 + {field.offset}) = r2"
    for value in (1, 0, 2):  # what such programs may return
        text = f'.license "GPL"\n.section {section}\nm:\nr2 = 0\n{store}\nr0 = {value}\nexit'
        try:
            with ebpfasm.load(ebpfasm.assemble(text)):
                return True
        except LoadError as refusal:
            if "R0" not in str(refusal) and "r0" not in str(refusal):
                return False
    raise AssertionError(section)


@pytest.mark.kernel
@pytest.mark.parametrize("row", HOOKS, ids=lambda row: row.name)
def test_the_kernel_lets_programs_write_the_same_fields(row: SectionSpec) -> None:
    struct = contexts.struct(of_context(row))
    assert struct is not None
    need(ebpfasm.assemble(f".section {row.name}\nm: exit").programs["m"])
    shape = layout(row.program_type, row.attach_type or "")
    ours, theirs = {}, {}
    for field in struct.fields:
        if field.size:
            width = field.size if field.size in (1, 2, 4, 8) else 4
            ours[field.name] = shape.may_write(field.offset, width)
            theirs[field.name] = kernel_takes(row.name, field)
    assert ours == theirs


def machine(body: str, section: str, **options: Any) -> list[Any]:
    """A machine for each engine."""
    maps = options.pop("text", "")
    text = f'.license "GPL"\n{maps}\n.section {section}\nm:\nr6 = r1\n{body}'
    spec = ebpfasm.assemble(text, name="p.s").programs["m"]
    return [ebpfasm.virtual_machine(spec, native=native, **options) for native in NATIVE]


def result(made: Any, data: bytes = b"", ctx: Any = None) -> int:
    return int(made.execute(data, ctx))


@pytest.mark.parametrize(
    ("section", "data", "end"),
    [("sk_msg", 0, 8), ("sk_reuseport", 0, 8), ("sockops", 192, 200), ("cgroup/getsockopt", 8, 16)],
)
def test_pointers_to_a_message_or_value_lead_there(section: str, data: int, end: int) -> None:
    body = (
        f"r2 = *(u64 *)(r6 + {data}); r3 = *(u64 *)(r6 + {end}); r4 = r3; r4 -= r2\n"
        "r0 = *(u8 *)(r2 + 1); r0 *= 100; r0 += r4; exit"
    )
    for made in machine(body, section):
        assert result(made, b"\1\2\3\4") == 204
    for made in machine(f"r0 = *(u32 *)(r6 + {data}); exit", section):
        with pytest.raises(ebpfasm.VmError, match="a pointer that loads as 64 bits"):
            made.execute(b"\1\2\3\4")
    for made in machine(f"r2 = *(u64 *)(r6 + {data}); r0 = *(u8 *)(r2 + 4); exit", section):
        with pytest.raises(ebpfasm.VmError, match="it has 4 bytes"):
            made.execute(b"\1\2\3\4")


def test_lengths_are_those_of_the_data() -> None:
    for section, at in (("sk_msg", 68), ("sk_reuseport", 16), ("cgroup/setsockopt", 32)):
        for made in machine(f"r0 = *(u32 *)(r6 + {at}); exit", section):
            assert result(made, bytes(9)) == 9
    for made in machine("r0 = *(u32 *)(r6 + 32); exit", "cgroup/setsockopt"):
        assert result(made, bytes(9), {"optlen": 3}) == 3


def test_a_value_of_a_socket_option_comes_out_as_data() -> None:
    body = (
        "r2 = *(u64 *)(r6 + 8); *(u8 *)(r2 + 0) = 7; r2 = 0; *(u32 *)(r6 + 36) = r2; r0 = 1; exit"
    )
    for made in machine(body, "cgroup/getsockopt"):
        found = made.run(b"\1\2", {"retval": 5, "level": 1})
        assert (found.data_out, found.retval) == (b"\7\2", 1)
        assert found.ctx_out[36:40] == bytes(4)
        assert found.ctx_out[0:24] == bytes(24)  # addresses are nobody's business


@pytest.mark.parametrize(
    ("section", "at"),
    [("sockops", 184), ("sk_msg", 72), ("cgroup/connect4", 64), ("cgroup/setsockopt", 0),
     ("sk_reuseport", 40), ("tc", 168)],
)  # fmt: skip
def test_sockets_of_contexts_are_bpf_sock(section: str, at: int) -> None:
    body = (
        f"r2 = *(u64 *)(r6 + {at}); r0 = *(u32 *)(r2 + 44); r3 = *(u32 *)(r2 + 16); r0 += r3; exit"
    )
    socket = Socket(src_port=80, mark=7)
    for made in machine(body, section):
        assert result(made, bytes(64), {"sk": socket}) == 87
        socket.mark = 8
        made.world.objects.refresh()
        assert result(made, bytes(64), {"sk": socket}) == 88
        socket.mark = 7
    for made in machine(f"r2 = *(u64 *)(r6 + {at}); *(u32 *)(r2 + 16) = 5; r0 = 0; exit", section):
        with pytest.raises(ebpfasm.VmError, match="can only be read"):
            made.execute(bytes(64), {"sk": socket})


def test_a_socket_that_is_the_context_can_be_changed() -> None:
    body = "r2 = 9; *(u32 *)(r6 + 16) = r2; r1 = r6; call bpf_get_socket_cookie; r0 = 1; exit"
    for made in machine(body, "cgroup/sock_create"):
        found = made.run(b"", {"family": 2, "mark": 3})
        assert int.from_bytes(found.ctx_out[16:20], sys.byteorder) == 9


def test_addresses_of_a_socket_call_are_rewritten() -> None:
    body = (
        "r2 = 0x0100007f; *(u32 *)(r6 + 4) = r2; r2 = 0x5000; *(u32 *)(r6 + 24) = r2; r0 = 1; exit"
    )
    for made in machine(body, "cgroup/connect4"):
        found = made.run(b"", {"user_ip4": 0x0A000001, "user_port": 0x1F90})
        assert found.ctx_out[4:8] == bytes([127, 0, 0, 1])
    for made in machine("r2 = 1; *(u32 *)(r6 + 8) = r2; r0 = 1; exit", "cgroup/connect4"):
        with pytest.raises(ebpfasm.VmError, match="a field that can only be read"):
            made.execute(b"", {"user_family": 2})


def test_arguments_of_traced_functions_are_numbers_and_objects() -> None:
    body = (
        "r2 = *(u64 *)(r6 + 8); r1 = *(u64 *)(r6 + 0); r0 = r2; if r1 == 0 goto out\n"
        "r0 = 0\nout: exit"
    )
    for made in machine(body, "raw_tp/sched_switch"):
        assert result(made, b"", (None, 7)) == 7
        assert result(made, b"", (Socket(), 7)) == 0
        with pytest.raises(ebpfasm.VmError, match="not numbers"):
            made.execute(b"", ("x",))


def test_device_and_register_contexts_are_read() -> None:
    for made in machine("r0 = *(u32 *)(r6 + 4); r1 = *(u32 *)(r6 + 8); r0 *= 100; r0 += r1; exit",
                        "cgroup/dev"):  # fmt: skip
        assert result(made, b"", {"access_type": 1, "major": 8, "minor": 1}) == 801
    for made in machine("r0 = *(u64 *)(r6 + 112); exit", "kprobe/x"):
        assert result(made, b"", {"rdi": 55}) == 55
    for made in machine(
        "r0 = *(u64 *)(r6 + 168); r1 = *(u64 *)(r6 + 80); r0 += r1; exit", "perf_event"
    ):
        assert result(made, b"", {"sample_period": 5, "regs.rax": 3}) == 8


def test_netfilter_programs_get_memory_that_the_test_provides() -> None:
    for made in machine("r2 = *(u64 *)(r6 + 8); r0 = *(u32 *)(r2 + 4); exit", "netfilter"):
        address = made.world.provide(b"\0\0\0\0\7\0\0\0", name="the packet", writable=False)
        assert result(made, b"", {"skb": address}) == 7


def test_the_picked_socket_of_a_lookup_is_told() -> None:
    text = """
    *(u32 *)(r10 - 4) = 0; r1 = s ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
    if r0 == 0 goto none
    r7 = r0; r1 = r6; r2 = r7; r3 = 0; call bpf_sk_assign; r8 = r0
    r1 = r7; call bpf_sk_release
    r0 = r8
    if r8 != 0 goto none
    r0 = 1
    none: exit"""
    maps = ".map s, sockmap, key=u32, value=u64, max_entries=4"
    socket = Socket(src_port=80, state=10, cookie=77)
    for made in machine(text, "sk_lookup", text=maps):
        made.maps["s"][0] = socket
        found = made.run(b"", {"family": 2, "protocol": 6, "local_port": 80})
        assert (found.retval, found.events) == (1, (Event("sk_assign", key=77),))
        assert int.from_bytes(found.ctx_out[0:8], sys.byteorder) == 77
        assert made.run(b"", {"family": 2, "protocol": 17}).retval == -91 & 0xFFFFFFFF
        assert made.run(b"", {"family": 10, "protocol": 6}).retval == -97 & 0xFFFFFFFF


FRAME = frames.udp()
