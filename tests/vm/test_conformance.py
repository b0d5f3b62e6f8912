"""The plugin of the bpf_conformance runner: its protocol, and what must be refused."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.cli import conformance
from ebpfasm.errors import DecodeError
from ebpfasm.ir import instruction
from ebpfasm.isa.codec import encode
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_OPCODE, TABLE, InstructionSpec
from tests.support import need_native

EXIT = encode(instruction("exit").spec)


def ask(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ebpfasm.cli.conformance", *arguments]
    return subprocess.run(command, input=code, capture_output=True, text=True, check=False)


def test_r0_is_printed_in_hexadecimal() -> None:
    done = ask("18000000 88776655 00000000 44332211 9500000000000000")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1122334455667788\n", "")


@pytest.mark.parametrize("options", [(), ("--reference",)])
def test_r1_points_to_the_memory_and_r2_is_its_length(options: tuple[str, ...]) -> None:
    # r0 = *(u16 *)(r1 + 1); r0 += r2; exit
    done = ask("6910010000000000 0f20000000000000 9500000000000000", "11 22 33 44", *options)
    assert (done.returncode, done.stdout) == (0, f"{0x3322 + 4:x}\n")


def test_what_cannot_run_is_told_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, message in (
        ("85 01 00 00 00 00 00 00 95 00 00 00 00 00 00 00", "decode-reserved"),
        ("7900000000000000 9500000000000000", "vm-uninit"),
        ("xyz", "the program is not pairs of hexadecimal digits"),
        ("", "vm-jump"),
    ):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(SystemExit) as ended:
            conformance.main([])
        assert ended.value.code == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_reserved_field_that_is_not_zero_is_refused(row: InstructionSpec) -> None:
    code = bytearray(encode(row))
    used = {operand.field for operand in row.form.operands}
    used |= {name for other in BY_OPCODE[row.opcode] for name, _ in other.fixed}
    places = {"dst": (1, 0x01), "src": (1, 0x10), "off": (2, 0x40), "imm": (4, 0x20)}
    for name, (at, bit) in places.items():
        if name in used:
            continue
        if row.form in (Form.LOAD_IMM64, Form.LOAD_PSEUDO) and name == "src":
            continue
        wrong = bytearray(code)
        wrong[at] |= bit
        with pytest.raises(DecodeError):
            conformance.result(bytes(wrong) + EXIT, b"")


# The public suite's vectors, of a checkout that the variable names; our own are in test_vectors.
PUBLIC = sorted(Path(os.environ.get("BPF_CONFORMANCE_SOURCE", "/nowhere"), "tests").glob("*.data"))


def public_suite(native: bool) -> None:
    if native:
        need_native()
    wrong = {}
    for path in PUBLIC:
        parts = re.split(r"^-- (.*)\n", path.read_text(), flags=re.MULTILINE)[1:]
        found = dict(zip(parts[::2], parts[1::2], strict=True))
        memory = bytes.fromhex(re.sub(r"#.*|\s", "", found.get("mem", "")))
        text = re.sub(r"^#.*", "", found["asm"], flags=re.MULTILINE)
        (program,) = ebpfasm.assemble(text, dialect="mnemonic", name=path.name).programs.values()
        r0 = ebpfasm.virtual_machine(program, native=native).execute(memory)
        if r0 != int(found["result"].split()[0], 16):
            wrong[path.name] = r0
    assert wrong == {}


if PUBLIC:
    test_every_vector_of_the_public_suite_is_right = pytest.mark.parametrize(
        "native", [True, False]
    )(public_suite)
