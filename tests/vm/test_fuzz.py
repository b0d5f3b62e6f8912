"""Random bytes as programs and packets: defined errors and nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfasm.analysis.vm import pcap
from ebpfasm.errors import EbpfError, VmError
from ebpfasm.ir import decode, lift
from ebpfasm.isa.table import TABLE, InstructionSpec
from ebpfasm.native import native_core
from tests.vm.engines import outcome
from tests.vm.generate import filled, make, program
from tests.vm.tally import MORE

ENGINES = (False, True) if native_core() is not None else (False,)

_opcodes = st.sampled_from([row.opcode for row in TABLE])
_slots = st.builds(
    lambda opcode, registers, off, imm: bytes([opcode, registers]) + off + imm,
    _opcodes, st.integers(0, 255), st.binary(min_size=2, max_size=2),
    st.binary(min_size=4, max_size=4),
)  # fmt: skip


@settings(max_examples=300 * MORE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_slots, max_size=12), st.binary(max_size=80))
def test_bytes_as_programs_raise_defined_errors_only(slots: list[bytes], data: bytes) -> None:
    try:
        spec = lift(decode(b"".join(slots)))
    except EbpfError:
        return
    results = [outcome(spec, data, native=native, budget=500) for native in ENGINES]
    assert all(each == results[0] for each in results)


@settings(max_examples=300 * MORE, deadline=None)
@given(st.lists(st.sampled_from(TABLE), max_size=12), st.data())
def test_any_fields_raise_defined_errors_only(
    rows: list[InstructionSpec], data: st.DataObject
) -> None:
    out = []
    for row in rows:
        number = data.draw(st.integers(-(1 << 31), (1 << 31) - 1))
        small = data.draw(st.integers(-40, 40))
        registers = data.draw(st.integers(0, 10)), data.draw(st.integers(0, 10))
        fields = {"dst": registers[0], "src": registers[1], "off": small, "imm": number}
        used = {each.field for each in row.form.operands}
        out.append(filled(row, {name: fields[name] * (name in used) for name in fields}))
    kind = data.draw(st.sampled_from(("xdp", "sched_cls", "")))
    spec = program([*out, make("exit")], kind)
    results = [outcome(spec, bytes(40), native=native, budget=500) for native in ENGINES]
    assert all(each == results[0] for each in results)


@settings(max_examples=200 * MORE, deadline=None)
@given(st.binary(max_size=120))
def test_bytes_as_captures_raise_defined_errors_only(content: bytes) -> None:
    for head in (b"", b"\xd4\xc3\xb2\xa1" + bytes(20)):
        with contextlib.suppress(VmError):
            list(pcap.read(head + content))
