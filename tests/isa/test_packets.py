"""Packet headers against the C compiler and the running kernel's BTF."""

from __future__ import annotations

import pytest

from ebpfasm.isa.contexts import ContextField, Struct
from ebpfasm.isa.packets import STRUCTS, field, mask
from tests.isa import judges

every_header = pytest.mark.parametrize("owner", STRUCTS.values(), ids=STRUCTS.keys())

# What glibc's struct ether_arp calls by macros.
INNER = {"arp_hrd": "ea_hdr.ar_hrd", "arp_pro": "ea_hdr.ar_pro", "arp_hln": "ea_hdr.ar_hln",
         "arp_pln": "ea_hdr.ar_pln", "arp_op": "ea_hdr.ar_op"}  # fmt: skip


def test_a_path_finds_offset_size_and_bits() -> None:
    paths = ("iphdr.saddr", "iphdr.ihl", "iphdr.version", "ethhdr.h_source[5]", "tcphdr.syn",
             "ipv6hdr.daddr[3]", "icmphdr.un.echo.id",
             "icmp6hdr.icmp6_dataun.un_data32[0]")  # fmt: skip
    found = {path: field(path) for path in paths}
    assert {
        path: each and (each.offset, each.size, mask(each)) for path, each in found.items()
    } == {
        "iphdr.saddr": (12, 4, None),
        "iphdr.ihl": (0, 1, 0x0F),
        "iphdr.version": (0, 1, 0xF0),
        "ethhdr.h_source[5]": (11, 1, None),
        "tcphdr.syn": (13, 1, 0x02),
        "ipv6hdr.daddr[3]": (36, 4, None),
        "icmphdr.un.echo.id": (4, 2, None),
        "icmp6hdr.icmp6_dataun.un_data32[0]": (4, 4, None),
    }


@pytest.mark.parametrize(
    "path",
    ["", "iphdr", "iphdr.", "iphdr.sadr", "iphdr.saddr[0]", "ethhdr.h_dest[6]", "iphdr.ihl[0]",
     "ethhdr.h_dest[-1]", "ethhdr.h_dest[\u0661]", "nohdr.x"],
)  # fmt: skip
def test_other_paths_are_no_field(path: str) -> None:
    assert field(path) is None


@every_header
def test_fields_lie_inside_their_header(owner: Struct) -> None:
    assert len(owner.by_name) == len(owner.fields)
    for each in owner.fields:
        assert each.struct == owner.name
        assert 0 <= each.offset < each.offset + each.size <= owner.size
        assert field(f"{owner.name}.{each.name}") is each


@pytest.mark.tool("gcc")
@every_header
def test_the_compiler_lays_the_header_out_the_same(owner: Struct) -> None:
    if not owner.header:
        pytest.skip("no header for user space has it, only the kernel's BTF")
    expected = {f"sizeof(struct {owner.name})": owner.size}
    for each in owner.fields:
        if mask(each) is not None:
            continue
        member = INNER.get(each.name, each.name)
        expected[f"offsetof(struct {owner.name}, {member})"] = each.offset
        expected[f"sizeof(((struct {owner.name} *)0)->{member})"] = each.size
    assert judges.values_in_c([owner.header], list(expected)) == expected


def bits_in_c(owner: Struct, each: ContextField) -> tuple[int, int]:
    """The byte that a bit-field lies in, and its bits there: of a zeroed header, set to ones."""
    program = f"""
        #include <stdio.h>
        #include <string.h>
        #include <{owner.header}>
        int main(void) {{
            struct {owner.name} header;
            memset(&header, 0, sizeof header);
            header.{each.name} = ~0;
            for (unsigned at = 0; at < sizeof header; at++)
                if (((unsigned char *)&header)[at])
                    printf("%u\\n%u\\n", at, ((unsigned char *)&header)[at]);
        }}"""
    offset, bits = map(int, judges.run_c(program))
    return offset, bits


@pytest.mark.tool("gcc")
@pytest.mark.parametrize(
    "path", [f"{owner.name}.{each.name}" for owner in STRUCTS.values()
             for each in owner.fields if mask(each) is not None],
)  # fmt: skip
def test_the_compiler_puts_bits_into_the_same_place(path: str) -> None:
    each = field(path)
    assert each is not None
    assert bits_in_c(STRUCTS[each.struct], each) == (each.offset, mask(each))


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@every_header
def test_the_kernel_lays_the_header_out_the_same(owner: Struct) -> None:
    btf = judges.kernel_btf()
    if owner.name not in btf.structs:
        pytest.skip("this kernel's BTF has no such struct")
    kernel = {name: place for name, *place in btf.members(btf.structs[owner.name])}
    ours = {
        each.name: [each.offset, each.size]
        for each in owner.fields
        if mask(each) is None and each.name in kernel
    }
    assert ours == {name: kernel[name] for name in ours}
    assert btf.structs[owner.name]["size"] == owner.size
