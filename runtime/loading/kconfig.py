"""Values of `extern` variables in section .kconfig: the running kernel's configuration.

The rules are libbpf's: y, n and m go into bool, tristate and char, quoted text into arrays of
char, numbers into integers of any size that hold them.
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import warnings
from collections.abc import Iterable, Mapping

from ebpfasm.errors import Diagnostic, LoadError, error
from ebpfasm.ir.specs import KconfigSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.helpers import BY_NAME as HELPERS
from ebpfasm.runtime.loading import kallsyms
from ebpfasm.runtime.release import kernel_version

Value = str | int | bool

_TRISTATE = {"n": 0, "y": 1, "m": 2}  # enum libbpf_tristate
# Prefixes of system calls' names where the kernel wraps them (CONFIG_ARCH_HAS_SYSCALL_WRAPPER).
_WRAPPERS = {
    "x86_64": "__x64_", "aarch64": "__arm64_", "s390x": "__s390x_", "riscv64": "__riscv_",
    "i686": "__ia32_", "i386": "__ia32_", "ppc64le": "", "loongarch64": "",
}  # fmt: skip


def values(
    externs: Iterable[KconfigSpec], given: Mapping[str, Value], byteorder: ByteOrder
) -> dict[int, bytes]:
    """The bytes of each variable, by its offset; weak ones that nobody knows are left out.

    `given` comes before the kernel's configuration. Raises LoadError with a diagnostic for every
    variable without a value, and for every value that does not fit.
    """
    wrong: list[Diagnostic] = []
    found: dict[int, bytes] = {}
    config = _Config(given)
    for each in externs:
        try:
            value = config.value(each)
            if value is not None:
                found[each.offset] = packed(each, value, byteorder)
            elif not each.weak:
                wrong.append(_missing(each, config))
        except LoadError as problem:
            wrong += problem.diagnostics
    if wrong:
        raise LoadError(*wrong)
    return found


class _Config:
    """What is given, and the kernel's configuration, which is read where it is needed."""

    def __init__(self, given: Mapping[str, Value]) -> None:
        self._given = given
        self._read: Mapping[str, str] | None = None

    def value(self, extern: KconfigSpec) -> Value | None:
        if extern.name in self._given:
            return self._given[extern.name]
        match extern.name:
            case "LINUX_KERNEL_VERSION":
                return kernel_version() or None
            case "LINUX_HAS_BPF_COOKIE":
                return int(_has_attach_cookie())
            case "LINUX_HAS_SYSCALL_WRAPPER":
                return int(has_syscall_wrapper())
            case _:
                return self.read().get(extern.name) if extern.name.startswith("CONFIG_") else None

    def read(self) -> Mapping[str, str]:
        if self._read is None:
            self._read = kernel_config() or {}
        return self._read


def _has_attach_cookie() -> bool:
    """Whether programs may ask for the cookie they were attached with (Linux 5.15)."""
    from ebpfasm.runtime.features import attempt

    call = attempt.instruction("call_helper", imm=HELPERS["bpf_get_attach_cookie"].id)
    return attempt.load(call + attempt.instruction("exit"), "tracepoint", log=False).done


def kernel_config() -> dict[str, str] | None:
    """The running kernel's options as they are written, None where no file tells them."""
    release = os.uname().release
    places = (f"/boot/config-{release}", "/proc/config.gz", f"/lib/modules/{release}/config")
    for path in places:
        try:
            with open(path, "rb") as file:
                content = file.read()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
        except (OSError, EOFError):
            continue
        return parse(content.decode("utf-8", "replace"))
    return None


def parse(text: str) -> dict[str, str]:
    """Read lines such as CONFIG_HZ=250; comments, "is not set" among them, say nothing.

    >>> parse('# CONFIG_A is not set\\nCONFIG_B="x"')
    {'CONFIG_B': '"x"'}
    """
    return dict(re.findall(r"^(CONFIG_\w+)=(.+?)\s*$", text, re.MULTILINE))


def has_syscall_wrapper() -> bool:
    """Whether system calls take their arguments from a struct pt_regs, by the kernel's symbols."""
    prefix = _WRAPPERS.get(platform.machine(), "")
    return bool(prefix) and f" {prefix}sys_bpf\n".encode() in kallsyms.read()


def packed(extern: KconfigSpec, value: Value, byteorder: ByteOrder) -> bytes:
    """A value as the bytes of its variable. Raises LoadError where it does not fit."""
    match value:
        case bool() | int():
            return _number(extern, int(value), byteorder)
        case "y" | "n" | "m":
            return _letter(extern, value, byteorder)
        case _ if value.startswith('"') or extern.kind == "string":
            return _text(extern, value)
        case _:
            try:
                number = int(value, 0) if not re.match(r"0[0-7]", value) else int(value, 8)
            except ValueError:
                raise _misfit(extern, value, "is no number") from None
            return _number(extern, number, byteorder)


def _letter(extern: KconfigSpec, value: str, byteorder: ByteOrder) -> bytes:
    match extern.kind:
        case "bool" if value != "m":
            return bytes([value == "y"]).ljust(extern.size, b"\0")
        case "tristate":
            return _TRISTATE[value].to_bytes(extern.size, byteorder)
        case "char":
            return value.encode().ljust(extern.size, b"\0")
        case "string":
            return _text(extern, value)
        case _:
            wanted = "tristate or char" if value == "m" else "bool, tristate or char"
            raise _misfit(extern, value, f"asks for a variable of type {wanted}")


def _text(extern: KconfigSpec, value: str) -> bytes:
    if extern.kind != "string":
        raise _misfit(extern, value, "asks for an array of char")
    text = value
    if value.startswith('"'):
        if len(value) < 2 or not value.endswith('"'):
            raise _misfit(extern, value, "has no closing quote")
        text = value[1:-1]
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) >= extern.size:
        what = f"extern {extern.name!r} of .kconfig: {value} is cut to {extern.size - 1} bytes"
        warnings.warn(what, RuntimeWarning, stacklevel=2)  # libbpf does so too, and goes on
    return raw[: extern.size - 1].ljust(extern.size, b"\0")


def _number(extern: KconfigSpec, value: int, byteorder: ByteOrder) -> bytes:
    if extern.kind not in ("int", "char", "bool"):
        raise _misfit(extern, value, "asks for an integer, char or bool")
    if extern.kind == "bool" and value not in (0, 1):
        raise _misfit(extern, value, "is not 0 or 1")
    # A u64 in the kernel's configuration may fill a signed long as hexadecimal text.
    signed = extern.signed and (value < 1 << (8 * extern.size - 1) or extern.size < 8)
    try:
        return value.to_bytes(extern.size, byteorder, signed=signed)
    except OverflowError:
        raise _misfit(extern, value, f"does not fit its {extern.size} bytes") from None


def _misfit(extern: KconfigSpec, value: Value, why: str) -> LoadError:
    message = f"extern {extern.name!r} of .kconfig: the value {value} {why}"
    return LoadError(error("load-kconfig", message))


def _missing(extern: KconfigSpec, config: _Config) -> Diagnostic:
    name = extern.name
    if not name.startswith("CONFIG_"):
        message = f"extern {name!r} of .kconfig: there is no such value"
        hint = "names begin with CONFIG_; LINUX_KERNEL_VERSION and LINUX_HAS_* are known besides"
        return error("load-kconfig", message, hint=hint)
    hint = f"declare it __weak, or say what it is: kconfig={{{name!r}: ...}}"
    if config.read():
        message = f"extern {name!r} of .kconfig: the kernel's configuration does not set it"
    else:
        message = f"extern {name!r} of .kconfig: no file tells this kernel's configuration"
    return error("load-kconfig", message, hint=hint)
