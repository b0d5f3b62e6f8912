"""The fields of contexts against the C compiler and the running kernel's BTF."""

from __future__ import annotations

import pytest

from ebpfasm.isa.contexts import ARM64_STRUCTS, STRUCTS, ContextField, Struct, field, struct
from tests import support
from tests.isa import judges

# pt_regs has two spellings: the kernel's own, and asm/ptrace.h's with a letter in front.
KERNEL_NAMES = {"bp", "bx", "ax", "cx", "dx", "si", "di", "orig_ax", "ip", "flags", "sp"}
PTRACE_NAMES = {"rbp", "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "eflags", "rsp"}
# Newer kernels split these into selectors and FRED's bits.
SEGMENTS = {"cs", "ss", "csx", "ssx", "fred_cs", "fred_ss"}
ON_X86 = {"pt_regs", "bpf_perf_event_data"}

every_struct = pytest.mark.parametrize("owner", STRUCTS.values(), ids=STRUCTS.keys())


def test_a_path_finds_offset_and_size() -> None:
    paths = ("xdp_md.data_end", "__sk_buff.flow_keys", "__sk_buff.cb", "__sk_buff.cb[2]",
             "__sk_buff.remote_ip6[1]", "bpf_sock.rx_queue_mapping", "bpf_sock_tuple.ipv6.dport",
             "bpf_fib_lookup.dmac[5]", "bpf_perf_event_data.regs.ip",
             "bpf_raw_tracepoint_args.args[3]", "bpf_raw_tracepoint_args.args")  # fmt: skip
    found = {path: field(path) for path in paths}
    assert {path: each and (each.offset, each.size, each.type) for path, each in found.items()} == {
        "xdp_md.data_end": (4, 4, "u32"),
        "__sk_buff.flow_keys": (144, 8, "bpf_flow_keys *"),
        "__sk_buff.cb": (48, 20, "u32[5]"),
        "__sk_buff.cb[2]": (56, 4, "u32"),
        "__sk_buff.remote_ip6[1]": (104, 4, "be32"),
        "bpf_sock.rx_queue_mapping": (76, 4, "s32"),
        "bpf_sock_tuple.ipv6.dport": (34, 2, "be16"),
        "bpf_fib_lookup.dmac[5]": (63, 1, "u8"),
        "bpf_perf_event_data.regs.ip": (128, 8, "u64"),
        "bpf_raw_tracepoint_args.args[3]": (24, 8, "u64"),
        "bpf_raw_tracepoint_args.args": (0, 0, "u64[]"),
    }


def test_a_found_field_is_named_as_it_was_asked_for() -> None:
    for path in ("__sk_buff.cb[2]", "bpf_perf_event_data.regs.di", "bpf_sock_tuple.ipv4.saddr"):
        found = field(path)
        assert found
        assert f"{found.struct}.{found.name}" == path


@pytest.mark.parametrize(
    "path",
    ["", ".", "xdp_md", "xdp_md.", ".data", "xdp_md.dat", "xdp_nd.data", "xdp_md.data[0]",
     "__sk_buff.cb[5]", "__sk_buff.cb[-1]", "__sk_buff.cb[]", "__sk_buff.cb[1", "__sk_buff.cb[0x1]",
     "__sk_buff.cb[1][1]", "__sk_buff.cb[\u0661]", "__sk_buff.cb[" + "9" * 5000 + "]",
     "xdp_md.data.x", "bpf_perf_event_data.regs.pc", "bpf_sock_tuple.ipv4", "xdp_md.data "],
)  # fmt: skip
def test_other_paths_are_no_field(path: str) -> None:
    assert field(path) is None


def test_registers_are_those_of_the_machine() -> None:
    assert field("pt_regs.di") == ContextField("pt_regs", "di", 112, 8, "u64", "")
    assert field("pt_regs.di", "arm64") is None
    inner = field("bpf_perf_event_data.regs.regs[30]", "arm64")
    assert inner
    assert (inner.offset, inner.size) == (240, 8)
    assert field("xdp_md.data", "arm64") == field("xdp_md.data")
    assert struct("pt_regs", "arm64") is ARM64_STRUCTS["pt_regs"]
    assert struct("nothing", "arm64") is None


@every_struct
def test_fields_lie_inside_their_struct_and_are_aligned(owner: Struct) -> None:
    assert len(owner.by_name) == len(owner.fields)
    for each in owner.fields:
        first = each.element(0) or each
        assert each.struct == owner.name
        assert each.offset + each.size <= owner.size
        assert each.offset % min(first.size, 8) == 0


def in_header(owner: Struct) -> list[ContextField]:
    """Return the fields that the system's header should have."""
    fields = [each for each in owner.fields if each.name not in KERNEL_NAMES]
    return [each for each in fields if support.release_of(each.since) <= judges.header_release()]


@pytest.mark.tool("gcc")
@every_struct
def test_the_compiler_lays_the_struct_out_the_same(owner: Struct) -> None:
    if not owner.header:
        pytest.skip("no header has it, only the kernel's BTF")
    if owner.name in ON_X86:
        judges.only_on_x86()
    expected: dict[str, int] = {}
    fields = in_header(owner)
    for each in fields:
        member = f"((struct {owner.name} *)0)->{each.name}"
        expected[f"offsetof(struct {owner.name}, {each.name})"] = each.offset
        expected[f"sizeof({member})"] = each.size
        if first := each.element(0):
            expected[f"sizeof({member}[0])"] = first.size
    if all(support.release_of(each.since) <= judges.header_release() for each in owner.fields):
        expected[f"sizeof(struct {owner.name})"] = owner.size
    headers = ["linux/types.h", owner.header]
    assert judges.values_in_c(headers, list(expected)) == expected


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@every_struct
def test_the_kernel_lays_the_struct_out_the_same(owner: Struct) -> None:
    if owner.name in ON_X86:
        judges.only_on_x86()
    btf = judges.kernel_btf()
    if owner.name not in btf.structs:
        pytest.skip("this kernel's BTF has no such struct")
    kernel = {name: place for name, *place in btf.members(btf.structs[owner.name])}
    if owner.name == "bpf_sk_lookup" and support.kernel_release() < (5, 18):
        kernel["remote_port"][1] = 2  # that was of 32 bits, and padding since
    ignored = SEGMENTS | PTRACE_NAMES if owner.name == "pt_regs" else set()
    now = support.kernel_release()
    # A kernel has what is as old as it is, and may have what its maintainers took from newer ones.
    fields = [
        each
        for each in owner.fields
        if support.release_of(each.since) <= now or each.name in kernel
    ]
    ours = {each.name: [each.offset, each.size] for each in fields if each.name not in ignored}
    assert ours == {name: place for name, place in kernel.items() if name not in ignored}
    if len(fields) == len(owner.fields):
        assert btf.structs[owner.name]["size"] == owner.size
