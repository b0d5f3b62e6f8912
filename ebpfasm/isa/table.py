"""Every instruction, a row each, in the order of RFC 9669, then Linux's extensions.

A row is the whole truth about an instruction: the encoder, decoder, assembler, printer,
builder, virtual machine, verifier and documents read it, and nothing repeats it. What is not
an operand of the row's form and not in `fixed` is a reserved field and must be zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from ebpfasm.frozen import dataclass
from ebpfasm.isa.forms import Form

Cpu = Literal["v1", "v2", "v3", "v4"]


@dataclass(frozen=True, slots=True)
class InstructionSpec:
    """One row: a logical instruction.

    `opcode` is the first byte; `fixed` the (field, value) pairs that tell rows with the same
    byte apart; `width` the bits operated on or moved in memory; `cpu` the lowest clang -mcpu
    that emits it; `group` its conformance group (RFC 9669 section 2.4); `since` the first
    Linux version that takes it from programs, empty if none does yet.
    """

    name: str
    opcode: int
    form: Form
    op: str
    width: int
    fixed: tuple[tuple[str, int], ...]
    cpu: Cpu
    group: str
    since: str
    doc: str
    slots: int = field(init=False)
    narrow: bool = field(init=False)

    def __post_init__(self) -> None:
        wide = self.form in (Form.LOAD_IMM64, Form.LOAD_PSEUDO)
        object.__setattr__(self, "slots", 2 if wide else 1)
        object.__setattr__(self, "narrow", _is_narrow(self))

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def fixed_fields(self) -> dict[str, int]:
        """The constant fields by name."""
        return dict(self.fixed)

    @property
    def symbol(self) -> str:
        """The operator that the LLVM dialect writes, empty if it writes none."""
        return SYMBOLS.get(self.op, "")

    @property
    def memory_type(self) -> str:
        """The type in the LLVM dialect's cast, such as u32 or s8."""
        if self.form is Form.MOVSX:
            return f"s{self.fixed_fields['off']}"
        return f"{'s' if self.op == 'ldxs' else 'u'}{self.width}"


def _is_narrow(spec: InstructionSpec) -> bool:
    """Whether value registers show as w: the instruction uses or makes only 32 bits of them."""
    match spec.form:
        case Form.SWAP | Form.LOAD_ABS | Form.LOAD_IND:
            return False
        case Form.LOAD:
            return spec.op == "ldx" and spec.width < 64
        case _:
            return spec.width < 64


# Operators of the LLVM dialect, by operation.
# fmt: off
SYMBOLS: dict[str, str] = {
    "add": "+=", "sub": "-=", "mul": "*=", "div": "/=", "or": "|=", "and": "&=", "lsh": "<<=", "rsh": ">>=",
    "mod": "%=", "xor": "^=", "mov": "=", "arsh": "s>>=", "sdiv": "s/=", "smod": "s%=",
    "jeq": "==", "jgt": ">", "jge": ">=", "jset": "&", "jne": "!=", "jsgt": "s>", "jsge": "s>=",
    "jlt": "<", "jle": "<=", "jslt": "s<", "jsle": "s<=",
    "atomic_add": "+=", "atomic_or": "|=", "atomic_and": "&=", "atomic_xor": "^=",
}
# fmt: on


def _off(value: int) -> tuple[tuple[str, int], ...]:
    return (("off", value),)


def _src(value: int) -> tuple[tuple[str, int], ...]:
    return (("src", value),)


def _imm(value: int) -> tuple[tuple[str, int], ...]:
    return (("imm", value),)


NONE: tuple[tuple[str, int], ...] = ()
S = InstructionSpec


def _arithmetic() -> Iterator[InstructionSpec]:
    """Section 4.1: four rows an operation, which differ in class (32, 64) and source (imm, reg)."""
    # fmt: off
    rows: tuple[tuple[str, int, int, Cpu, str, str], ...] = (
        # op     code  off  cpu   group     what it does
        ("add",  0x00, 0,  "v1", "base",   "dst += operand"),
        ("sub",  0x10, 0,  "v1", "base",   "dst -= operand"),
        ("mul",  0x20, 0,  "v1", "divmul", "dst *= operand"),
        ("div",  0x30, 0,  "v1", "divmul", "unsigned division; by zero gives 0"),
        ("sdiv", 0x30, 1,  "v4", "divmul", "signed division, towards zero; by zero gives 0"),
        ("or",   0x40, 0,  "v1", "base",   "dst |= operand"),
        ("and",  0x50, 0,  "v1", "base",   "dst &= operand"),
        ("lsh",  0x60, 0,  "v1", "base",   "shift left; the count is masked to the width"),
        ("rsh",  0x70, 0,  "v1", "base",   "logical shift right; the count is masked to the width"),
        ("mod",  0x90, 0,  "v1", "divmul", "unsigned remainder; by zero leaves dst"),
        ("smod", 0x90, 1,  "v4", "divmul", "signed remainder, sign of dst; by zero leaves dst"),
        ("xor",  0xa0, 0,  "v1", "base",   "dst ^= operand"),
        ("mov",  0xb0, 0,  "v1", "base",   "dst = operand"),
        ("arsh", 0xc0, 0,  "v1", "base",   "arithmetic shift right; the count is masked to the width"),
    )
    # fmt: on
    for op, code, off, cpu, group, doc in rows:
        fixed = _off(off) if off else NONE
        imm_form, reg_form = (
            (Form.MOV_IMM, Form.MOV_REG) if op == "mov" else (Form.ALU_IMM, Form.ALU_REG)
        )
        # clang makes 32-bit arithmetic from v3 on; the kernel has taken it from the start.
        cpu32: Cpu = "v3" if cpu == "v1" else cpu
        since = "6.6" if off else "3.18"
        half = doc + "; the upper half becomes 0"
        yield S(f"{op}64_imm", code | 0x07, imm_form, op, 64, fixed, cpu, f"{group}64", since, doc)
        yield S(f"{op}64_reg", code | 0x0F, reg_form, op, 64, fixed, cpu, f"{group}64", since, doc)
        yield S(f"{op}32_imm", code | 0x04, imm_form, op, 32, fixed, cpu32, f"{group}32", since, half)  # fmt: skip
        yield S(f"{op}32_reg", code | 0x0C, reg_form, op, 32, fixed, cpu32, f"{group}32", since, half)  # fmt: skip


def _jumps() -> Iterator[InstructionSpec]:
    """Section 4.3: four rows a comparison, which differ in class (64, 32) and source (imm, reg)."""
    # fmt: off
    rows: tuple[tuple[str, int, Cpu, str, str], ...] = (
        ("jeq",  0x10, "v1", "3.18", "jump if dst == operand"),
        ("jgt",  0x20, "v1", "3.18", "jump if dst > operand, unsigned"),
        ("jge",  0x30, "v1", "3.18", "jump if dst >= operand, unsigned"),
        ("jset", 0x40, "v1", "3.18", "jump if dst & operand is not 0"),
        ("jne",  0x50, "v1", "3.18", "jump if dst != operand"),
        ("jsgt", 0x60, "v1", "3.18", "jump if dst > operand, signed"),
        ("jsge", 0x70, "v1", "3.18", "jump if dst >= operand, signed"),
        ("jlt",  0xa0, "v2", "4.14", "jump if dst < operand, unsigned"),
        ("jle",  0xb0, "v2", "4.14", "jump if dst <= operand, unsigned"),
        ("jslt", 0xc0, "v2", "4.14", "jump if dst < operand, signed"),
        ("jsle", 0xd0, "v2", "4.14", "jump if dst <= operand, signed"),
    )
    # fmt: on
    for op, code, cpu, since, doc in rows:
        low = doc + ", low halves"
        yield S(f"{op}64_imm", code | 0x05, Form.JCOND_IMM, op, 64, NONE, cpu, "base64", since, doc)
        yield S(f"{op}64_reg", code | 0x0D, Form.JCOND_REG, op, 64, NONE, cpu, "base64", since, doc)
        yield S(f"{op}32_imm", code | 0x06, Form.JCOND_IMM, op, 32, NONE, "v3", "base32", "5.1", low)  # fmt: skip
        yield S(f"{op}32_reg", code | 0x0E, Form.JCOND_REG, op, 32, NONE, "v3", "base32", "5.1", low)  # fmt: skip


# fmt: off
_SWAPS = (
    # 4.2 Byte swap instructions
    S("le16",          0xd4, Form.SWAP, "le",    16, _imm(16), "v1", "base32", "3.18", "to little-endian 16 bits, zero-extended"),
    S("le32",          0xd4, Form.SWAP, "le",    32, _imm(32), "v1", "base32", "3.18", "to little-endian 32 bits, zero-extended"),
    S("le64",          0xd4, Form.SWAP, "le",    64, _imm(64), "v1", "base64", "3.18", "to little-endian 64 bits"),
    S("be16",          0xdc, Form.SWAP, "be",    16, _imm(16), "v1", "base32", "3.18", "to big-endian 16 bits, zero-extended"),
    S("be32",          0xdc, Form.SWAP, "be",    32, _imm(32), "v1", "base32", "3.18", "to big-endian 32 bits, zero-extended"),
    S("be64",          0xdc, Form.SWAP, "be",    64, _imm(64), "v1", "base64", "3.18", "to big-endian 64 bits"),
    S("bswap16",       0xd7, Form.SWAP, "bswap", 16, _imm(16), "v4", "base32", "6.6",  "reverse the low 2 bytes, zero-extended"),
    S("bswap32",       0xd7, Form.SWAP, "bswap", 32, _imm(32), "v4", "base32", "6.6",  "reverse the low 4 bytes, zero-extended"),
    S("bswap64",       0xd7, Form.SWAP, "bswap", 64, _imm(64), "v4", "base64", "6.6",  "reverse the 8 bytes"),
)

_UNARY = (
    # 4.1, the operations without four rows
    S("neg64",         0x87, Form.NEG,   "neg",   64, NONE,     "v1", "base64", "3.18", "dst = -dst"),
    S("neg32",         0x84, Form.NEG,   "neg",   32, NONE,     "v3", "base32", "3.18", "dst = -dst; the upper half becomes 0"),
    S("movsx8_64",     0xbf, Form.MOVSX, "movsx", 64, _off(8),  "v4", "base64", "6.6",  "dst = the low 8 bits of src, sign-extended"),
    S("movsx16_64",    0xbf, Form.MOVSX, "movsx", 64, _off(16), "v4", "base64", "6.6",  "dst = the low 16 bits of src, sign-extended"),
    S("movsx32_64",    0xbf, Form.MOVSX, "movsx", 64, _off(32), "v4", "base64", "6.6",  "dst = the low 32 bits of src, sign-extended"),
    S("movsx8_32",     0xbc, Form.MOVSX, "movsx", 32, _off(8),  "v4", "base32", "6.6",  "dst = the low 8 bits of src, sign-extended to 32"),
    S("movsx16_32",    0xbc, Form.MOVSX, "movsx", 32, _off(16), "v4", "base32", "6.6",  "dst = the low 16 bits of src, sign-extended to 32"),
)

_CONTROL = (
    # 4.3 Jump instructions, the unconditional ones
    S("ja",            0x05, Form.JUMP,        "ja",   64, NONE,    "v1", "base32", "3.18", "jump"),
    S("gotol",         0x06, Form.JUMP_LONG,   "ja",   64, NONE,    "v4", "base32", "6.6",  "jump, 32-bit distance"),
    S("call_helper",   0x85, Form.CALL_HELPER, "call", 64, NONE,    "v1", "base32", "3.18", "call a helper function by its number"),
    S("call_local",    0x85, Form.CALL_LOCAL,  "call", 64, _src(1), "v1", "base32", "4.16", "call a subprogram of this program"),
    S("call_kfunc",    0x85, Form.CALL_KFUNC,  "call", 64, _src(2), "v1", "base32", "5.13", "call a kernel function by BTF id; off picks the module's BTF"),
    S("exit",          0x95, Form.EXIT,        "exit", 64, NONE,    "v1", "base32", "3.18", "return r0"),
)

_LOADS_AND_STORES = (
    # 5.1 Regular load and store, 5.2 sign-extension load
    S("ldxb",          0x71, Form.LOAD,      "ldx",  8,  NONE, "v1", "base32", "3.18", "load 8 bits, zero-extended"),
    S("ldxh",          0x69, Form.LOAD,      "ldx",  16, NONE, "v1", "base32", "3.18", "load 16 bits, zero-extended"),
    S("ldxw",          0x61, Form.LOAD,      "ldx",  32, NONE, "v1", "base32", "3.18", "load 32 bits, zero-extended"),
    S("ldxdw",         0x79, Form.LOAD,      "ldx",  64, NONE, "v1", "base64", "3.18", "load 64 bits"),
    S("stb",           0x72, Form.STORE_IMM, "st",   8,  NONE, "v4", "base32", "3.18", "store the low 8 bits of the immediate"),
    S("sth",           0x6a, Form.STORE_IMM, "st",   16, NONE, "v4", "base32", "3.18", "store the low 16 bits of the immediate"),
    S("stw",           0x62, Form.STORE_IMM, "st",   32, NONE, "v4", "base32", "3.18", "store the immediate, 32 bits"),
    S("stdw",          0x7a, Form.STORE_IMM, "st",   64, NONE, "v4", "base64", "3.18", "store the immediate, sign-extended to 64 bits"),
    S("stxb",          0x73, Form.STORE_REG, "stx",  8,  NONE, "v1", "base32", "3.18", "store the low 8 bits of src"),
    S("stxh",          0x6b, Form.STORE_REG, "stx",  16, NONE, "v1", "base32", "3.18", "store the low 16 bits of src"),
    S("stxw",          0x63, Form.STORE_REG, "stx",  32, NONE, "v1", "base32", "3.18", "store the low 32 bits of src"),
    S("stxdw",         0x7b, Form.STORE_REG, "stx",  64, NONE, "v1", "base64", "3.18", "store src"),
    S("ldxsb",         0x91, Form.LOAD,      "ldxs", 8,  NONE, "v4", "base32", "6.6",  "load 8 bits, sign-extended"),
    S("ldxsh",         0x89, Form.LOAD,      "ldxs", 16, NONE, "v4", "base32", "6.6",  "load 16 bits, sign-extended"),
    S("ldxsw",         0x81, Form.LOAD,      "ldxs", 32, NONE, "v4", "base32", "6.6",  "load 32 bits, sign-extended"),
)

_ATOMICS = (
    # 5.3 Atomic operations
    S("atomic_add64",       0xdb, Form.ATOMIC,    "atomic_add", 64, _imm(0x00), "v1", "atomic64", "3.18", "memory += src"),
    S("atomic_or64",        0xdb, Form.ATOMIC,    "atomic_or",  64, _imm(0x40), "v3", "atomic64", "5.12", "memory |= src"),
    S("atomic_and64",       0xdb, Form.ATOMIC,    "atomic_and", 64, _imm(0x50), "v3", "atomic64", "5.12", "memory &= src"),
    S("atomic_xor64",       0xdb, Form.ATOMIC,    "atomic_xor", 64, _imm(0xa0), "v3", "atomic64", "5.12", "memory ^= src"),
    S("atomic_fetch_add64", 0xdb, Form.FETCH,     "atomic_add", 64, _imm(0x01), "v3", "atomic64", "5.12", "memory += src; src = the old value"),
    S("atomic_fetch_or64",  0xdb, Form.FETCH,     "atomic_or",  64, _imm(0x41), "v3", "atomic64", "5.12", "memory |= src; src = the old value"),
    S("atomic_fetch_and64", 0xdb, Form.FETCH,     "atomic_and", 64, _imm(0x51), "v3", "atomic64", "5.12", "memory &= src; src = the old value"),
    S("atomic_fetch_xor64", 0xdb, Form.FETCH,     "atomic_xor", 64, _imm(0xa1), "v3", "atomic64", "5.12", "memory ^= src; src = the old value"),
    S("xchg64",             0xdb, Form.XCHG,      "xchg",       64, _imm(0xe1), "v3", "atomic64", "5.12", "swap memory and src"),
    S("cmpxchg64",          0xdb, Form.CMPXCHG,   "cmpxchg",    64, _imm(0xf1), "v3", "atomic64", "5.12", "memory = src if it equals r0; r0 = the old value"),
    S("atomic_add32",       0xc3, Form.ATOMIC,    "atomic_add", 32, _imm(0x00), "v1", "atomic32", "3.18", "memory += src, 32 bits"),
    S("atomic_or32",        0xc3, Form.ATOMIC,    "atomic_or",  32, _imm(0x40), "v3", "atomic32", "5.12", "memory |= src, 32 bits"),
    S("atomic_and32",       0xc3, Form.ATOMIC,    "atomic_and", 32, _imm(0x50), "v3", "atomic32", "5.12", "memory &= src, 32 bits"),
    S("atomic_xor32",       0xc3, Form.ATOMIC,    "atomic_xor", 32, _imm(0xa0), "v3", "atomic32", "5.12", "memory ^= src, 32 bits"),
    S("atomic_fetch_add32", 0xc3, Form.FETCH,     "atomic_add", 32, _imm(0x01), "v3", "atomic32", "5.12", "memory += src; src = the old value, zero-extended"),
    S("atomic_fetch_or32",  0xc3, Form.FETCH,     "atomic_or",  32, _imm(0x41), "v3", "atomic32", "5.12", "memory |= src; src = the old value, zero-extended"),
    S("atomic_fetch_and32", 0xc3, Form.FETCH,     "atomic_and", 32, _imm(0x51), "v3", "atomic32", "5.12", "memory &= src; src = the old value, zero-extended"),
    S("atomic_fetch_xor32", 0xc3, Form.FETCH,     "atomic_xor", 32, _imm(0xa1), "v3", "atomic32", "5.12", "memory ^= src; src = the old value, zero-extended"),
    S("xchg32",             0xc3, Form.XCHG32,    "xchg",       32, _imm(0xe1), "v3", "atomic32", "5.12", "swap memory and src; src is zero-extended"),
    S("cmpxchg32",          0xc3, Form.CMPXCHG32, "cmpxchg",    32, _imm(0xf1), "v3", "atomic32", "5.12", "memory = src if it equals w0; r0 = the old value, zero-extended"),
)

_IMMEDIATES = (
    # 5.4 64-bit immediate instructions; what src chooses is Linux's BPF_PSEUDO_* for lddw
    S("lddw",               0x18, Form.LOAD_IMM64,  "lddw",          64, NONE,    "v1", "base64", "3.18", "dst = the 64-bit immediate"),
    S("lddw_map_fd",        0x18, Form.LOAD_PSEUDO, "lddw_map_fd",   64, _src(1), "v1", "base64", "3.18", "dst = the map with file descriptor imm"),
    S("lddw_map_value",     0x18, Form.LOAD_PSEUDO, "lddw_map_value", 64, _src(2), "v1", "base64", "5.2", "dst = address in the value of the map with descriptor imm, plus the upper half"),
    S("lddw_btf_id",        0x18, Form.LOAD_PSEUDO, "lddw_btf_id",   64, _src(3), "v1", "base64", "5.10", "dst = address of the kernel variable with BTF id imm; the upper half is a module's BTF descriptor"),
    S("lddw_func",          0x18, Form.LOAD_PSEUDO, "lddw_func",     64, _src(4), "v1", "base64", "5.13", "dst = address of the subprogram at distance imm"),
    S("lddw_map_idx",       0x18, Form.LOAD_PSEUDO, "lddw_map_idx",  64, _src(5), "v1", "base64", "5.14", "dst = the map at index imm of fd_array"),
    S("lddw_map_idx_value", 0x18, Form.LOAD_PSEUDO, "lddw_map_idx_value", 64, _src(6), "v1", "base64", "5.14", "dst = address in the value of the map at index imm of fd_array, plus the upper half"),
)

_PACKET = (
    # 5.5 Legacy BPF packet access instructions
    S("ldabsb",             0x30, Form.LOAD_ABS, "ldabs", 8,  NONE, "v1", "packet", "3.18", "r0 = 8 bits of the packet; leaves the program if outside"),
    S("ldabsh",             0x28, Form.LOAD_ABS, "ldabs", 16, NONE, "v1", "packet", "3.18", "r0 = 16 bits of the packet, host order; leaves the program if outside"),
    S("ldabsw",             0x20, Form.LOAD_ABS, "ldabs", 32, NONE, "v1", "packet", "3.18", "r0 = 32 bits of the packet, host order; leaves the program if outside"),
    S("ldindb",             0x50, Form.LOAD_IND, "ldind", 8,  NONE, "v1", "packet", "3.18", "as ldabsb at src + imm"),
    S("ldindh",             0x48, Form.LOAD_IND, "ldind", 16, NONE, "v1", "packet", "3.18", "as ldabsh at src + imm"),
    S("ldindw",             0x40, Form.LOAD_IND, "ldind", 32, NONE, "v1", "packet", "3.18", "as ldabsw at src + imm"),
)

_LINUX = (
    # Linux's extensions, not in RFC 9669
    S("may_goto",           0xe5, Form.MAY_GOTO,      "may_goto", 64, NONE,       "v4", "linux", "6.9",  "jump when the kernel's loop budget is spent"),
    S("addr_space_cast",    0xbf, Form.CAST,          "cast",     64, _off(1),    "v4", "linux", "6.9",  "dst = src as a pointer of another address space (imm: to << 16 | from)"),
    S("load_acquire8",      0xd3, Form.LOAD_ACQUIRE,  "load_acquire",  8,  _imm(0x100), "v4", "linux", "6.15", "load 8 bits with acquire order, zero-extended"),
    S("load_acquire16",     0xcb, Form.LOAD_ACQUIRE,  "load_acquire",  16, _imm(0x100), "v4", "linux", "6.15", "load 16 bits with acquire order, zero-extended"),
    S("load_acquire32",     0xc3, Form.LOAD_ACQUIRE,  "load_acquire",  32, _imm(0x100), "v4", "linux", "6.15", "load 32 bits with acquire order, zero-extended"),
    S("load_acquire64",     0xdb, Form.LOAD_ACQUIRE,  "load_acquire",  64, _imm(0x100), "v4", "linux", "6.15", "load 64 bits with acquire order"),
    S("store_release8",     0xd3, Form.STORE_RELEASE, "store_release", 8,  _imm(0x110), "v4", "linux", "6.15", "store 8 bits with release order"),
    S("store_release16",    0xcb, Form.STORE_RELEASE, "store_release", 16, _imm(0x110), "v4", "linux", "6.15", "store 16 bits with release order"),
    S("store_release32",    0xc3, Form.STORE_RELEASE, "store_release", 32, _imm(0x110), "v4", "linux", "6.15", "store 32 bits with release order"),
    S("store_release64",    0xdb, Form.STORE_RELEASE, "store_release", 64, _imm(0x110), "v4", "linux", "6.15", "store 64 bits with release order"),
    S("callx",              0x8d, Form.CALL_REG,      "callx",    64, NONE,       "v1", "linux", "",     "call the function whose address dst holds"),
    S("gotox",              0x0d, Form.JUMP_REG,      "gotox",    64, NONE,       "v4", "linux", "6.19", "jump to the address that dst holds"),
)
# fmt: on

TABLE: tuple[InstructionSpec, ...] = (
    *_arithmetic(),
    *_UNARY,
    *_SWAPS,
    *_CONTROL,
    *_jumps(),
    *_LOADS_AND_STORES,
    *_ATOMICS,
    *_IMMEDIATES,
    *_PACKET,
    *_LINUX,
)

BY_NAME: dict[str, InstructionSpec] = {spec.name: spec for spec in TABLE}


def _group(rows: tuple[InstructionSpec, ...]) -> dict[int, tuple[InstructionSpec, ...]]:
    groups: dict[int, list[InstructionSpec]] = {}
    for spec in rows:
        groups.setdefault(spec.opcode, []).append(spec)
    return {opcode: tuple(specs) for opcode, specs in groups.items()}


# Rows with one opcode byte; their `fixed` fields are pairwise different, so order is no matter.
BY_OPCODE: dict[int, tuple[InstructionSpec, ...]] = _group(TABLE)

# (form, operation, width) -> rows; more than one only for MOVSX, which differ in the source's bits.
BY_SHAPE: dict[tuple[Form, str, int], InstructionSpec] = {
    (spec.form, spec.op, spec.width): spec for spec in TABLE if spec.form is not Form.MOVSX
}
