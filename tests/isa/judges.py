"""Outside judges of the tables: the C compiler with the system's headers, the kernel's BTF."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import support

VMLINUX = Path("/sys/kernel/btf/vmlinux")


@cache
def header_release() -> tuple[int, int]:
    """Say which Linux release the system's uapi headers are from."""
    command = [support.find_tool("gcc"), "-E", "-dM", "-include", "linux/version.h", "-xc", "-"]
    macros = subprocess.run(command, input="", capture_output=True, text=True, check=False).stdout
    found = re.search(r"LINUX_VERSION_CODE (\d+)", macros)
    if found is None:
        support.missing("gcc", "there are no kernel headers: run tools/system-packages")
    return int(found[1]) >> 16, int(found[1]) >> 8 & 0xFF


def run_c(source: str, *flags: str, stdin: str = "") -> list[str]:
    """Compile a C program, run it, and return the lines it prints."""
    with TemporaryDirectory() as where:
        program = Path(where, "judge")
        command = [support.find_tool("gcc"), "-w", "-xc", "-", "-o", str(program), *flags]
        built = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if built.returncode != 0 and "-lbpf" in flags and _lacks_libbpf(built.stderr):
            support.missing("libbpf", "libbpf is not installed: run tools/system-packages")
        assert built.returncode == 0, built.stderr
        ran = subprocess.run([program], input=stdin, capture_output=True, text=True, check=True)
        return ran.stdout.splitlines()


def _lacks_libbpf(complaint: str) -> bool:
    return "cannot find -lbpf" in complaint or "bpf/libbpf.h: No such file" in complaint


def values_in_c(headers: list[str], expressions: list[str]) -> dict[str, int]:
    """Ask the compiler for the values of constant expressions."""
    includes = [f"#include <{header}>" for header in ("stdio.h", "stddef.h", *headers)]
    prints = [f'printf("%lld\\n", (long long)({each}));' for each in expressions]
    lines = run_c("\n".join([*includes, "int main(void) {", *prints, "return 0; }"]))
    return dict(zip(expressions, map(int, lines), strict=True))


class Btf:
    """The types of a raw BTF dump by bpftool."""

    def __init__(self, types: list[dict[str, Any]]) -> None:
        self.types = {each["id"]: each for each in types}
        self.enums = {
            each["name"]: {value["name"]: value["val"] for value in each["values"]}
            for each in types
            if each["kind"] in ("ENUM", "ENUM64") and each["name"] != "(anon)"
        }
        self.structs = {each["name"]: each for each in types if each["kind"] == "STRUCT"}

    def enumerators(self) -> dict[str, tuple[int, int]]:
        """Every enumerator of every enumeration, named or not: its bits, and a mask of them.

        bpftool writes a value of 32 bits now signed, now unsigned, now extended to 64 bits.
        """
        found: dict[str, tuple[int, int]] = {}
        for each in self.types.values():
            if each["kind"] in ("ENUM", "ENUM64"):
                mask = (1 << (64 if each["kind"] == "ENUM64" else 32)) - 1
                found |= {value["name"]: (value["val"] & mask, mask) for value in each["values"]}
        return found

    def resolved(self, number: int) -> dict[str, Any] | None:
        """Follow typedefs and qualifiers; None is void."""
        while number and self.types[number]["kind"] in ("TYPEDEF", "CONST", "VOLATILE"):
            number = self.types[number]["type_id"]
        return self.types[number] if number else None

    def size(self, number: int) -> int:
        found = self.resolved(number)
        assert found
        match found["kind"]:
            case "PTR":
                return 8
            case "ARRAY":
                return int(found["nr_elems"]) * self.size(found["type_id"])
            case _:
                return int(found["size"])

    def members(
        self, owner: dict[str, Any], base: int = 0, prefix: str = ""
    ) -> Iterator[tuple[str, int, int]]:
        """(name, offset, size) of each member; those of unnamed structs as if they were here."""
        for member in owner["members"]:
            offset = base + member["bits_offset"] // 8
            found = self.resolved(member["type_id"])
            assert found
            nested = found["kind"] in ("STRUCT", "UNION") and found["name"] == "(anon)"
            if nested and member["name"] == "(anon)":
                yield from self.members(found, offset, prefix)
            elif nested:
                yield from self.members(found, offset, f"{prefix}{member['name']}.")
            elif member["name"] != "(anon)":
                yield prefix + member["name"], offset, self.size(member["type_id"])


@cache
def kernel_btf() -> Btf:
    """Read the running kernel's types through bpftool."""
    if not VMLINUX.exists():
        support.missing("kernel", "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
    bpftool = support.find_tool("bpftool")
    command = [bpftool, "btf", "dump", "file", str(VMLINUX), "format", "raw", "-j"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Btf(json.loads(dump)["types"])


def only_on_x86() -> None:
    """Skip what judges x86-64's registers on another machine."""
    if platform.machine() != "x86_64":
        pytest.skip("judged on x86-64 only")
