"""Formats of bpf_snprintf, as programs that the kernel judges."""

from __future__ import annotations

from tests.vm.cases import Case, tc, with_maps

# each gets 258, -5 and the address of "abc" on the stack
_FORMATS = (
    "%d|%i|%s", "%x %X|", "%5d|%-5d|%5s", "%05d|%5x|", "%lld %llu", "%ld|%lx", "%u %u",
    "100%% %d", "%c%d", "%+d|% d", "%s", "%d %d %pi4", "%d %d %pI4",
)  # fmt: skip


def printing(format: str) -> Case:
    """A classifier that prints into a map's value, and returns what bpf_snprintf did."""
    text = """
    r1 = 0x0000000000636261 ll; *(u64 *)(r10 - 8) = r1
    *(u64 *)(r10 - 40) = 258; *(u64 *)(r10 - 32) = -5
    r1 = r10; r1 += -8; *(u64 *)(r10 - 24) = r1
    *(u32 *)(r10 - 44) = 0
    r1 = out ll; r2 = r10; r2 += -44; call bpf_map_lookup_elem
    if r0 == 0 goto none
    r1 = r0; r2 = 24; r3 = format ll; r4 = r10; r4 += -40; r5 = COUNT
    call bpf_snprintf
    none: exit
    .section .rodata
    format: .asciz "FORMAT"
    """
    count = 8 * format.replace("%%", "").count("%")
    body = text.replace("FORMAT", format).replace("COUNT", str(count))
    case = tc(f"print {format}", body)
    return with_maps(case, ".map out, array, key=u32, value_size=24, max_entries=1")


PRINTING = [printing(each) for each in _FORMATS]
