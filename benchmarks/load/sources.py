"""C texts of objects to load: a tiny one, one of CO-RE relocations, one that is long."""

from __future__ import annotations

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.resolve import plain
from ebpfasm.btf.types import Int, Ptr, Struct

_STRUCTS = (
    "task_struct", "mm_struct", "file", "inode", "dentry", "sock", "sk_buff", "net_device",
    "cred", "super_block", "vm_area_struct", "socket", "signal_struct",
)  # fmt: skip

_HEAD = """
#define SEC(name) __attribute__((section(name), used))
char _license[] SEC("license") = "GPL";
static long (*const read_kernel)(void *, unsigned int, const void *) = (void *)113;
"""

TINY = _HEAD + 'SEC("socket") int tiny(void *context) { return 0; }\n'


def with_relocations(types: BtfIndex, count: int) -> str:
    """A program that reads members of the kernel's structs, `count` in all."""
    chosen = _members(types, count)
    text = _HEAD
    for name in dict.fromkeys(name for name, _, _ in chosen):
        members = "".join(f"{kind} {member}; " for owner, member, kind in chosen if owner == name)
        text += f"struct {name} {{ {members}}} __attribute__((preserve_access_index));\n"
    lines = "".join(
        f"    {{ unsigned long value = 0;\n"
        f"      read_kernel(&value, sizeof(value), &((struct {name} *)context)->{member});\n"
        f"      sum += value; }}\n"
        for name, member, _ in chosen
    )
    return text + (
        'SEC("raw_tp/sys_enter") int reads(void *context)\n'
        f"{{\n    unsigned long sum = 0;\n{lines}    return sum != 0;\n}}\n"
    )


def _members(types: BtfIndex, count: int) -> list[tuple[str, str, str]]:
    """Members to read, as (struct, member, C type), from all structs alike."""
    found: list[list[tuple[str, str, str]]] = []
    for name in _STRUCTS:
        for number in types.find(Struct, name)[:1]:
            each = types.get(number)
            assert isinstance(each, Struct)
            found.append([
                (name, member.name, "void *" if isinstance(kind, Ptr) else "unsigned long")
                for member in each.members
                if member.name and not member.bitfield_size
                and isinstance(kind := plain(types, member.type)[1], Int | Ptr)
            ])  # fmt: skip
    rows = [row for number in range(count) for row in (each[number:][:1] for each in found)]
    return [row[0] for row in rows if row][:count]


def long_program(instructions: int) -> str:
    """A straight program of about so many instructions."""
    lines = ["r0 = 0;", *["r0 += 1;"] * (instructions - 4)]
    text = "".join(f'        "{line}"\n' for line in lines)
    body = f'    asm volatile(\n{text}        ::: "r0");\n'
    return f'{_HEAD}SEC("socket") int long_one(void *context)\n{{\n{body}    return 0;\n}}\n'
