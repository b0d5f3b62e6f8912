"""BTF, func_info and line_info as the kernel takes them, and what bpftool makes of them."""

from __future__ import annotations

import json
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.btf import types as t
from ebpfasm.btf.codec import decode, decode_strings
from ebpfasm.btf.ext import unpack_func_info, unpack_line_info
from ebpfasm.emit import debug, image
from ebpfasm.emit.debug import DebugInfo, debug_info, map_types
from ebpfasm.errors import LineSpan, Location, Source, Span
from ebpfasm.ir import (
    Function,
    FunctionRef,
    Instruction,
    LinkedProgram,
    MapSpec,
    ProgramSpec,
    instruction,
    link,
)
from ebpfasm.isa.table import BY_NAME
from tests import kernel
from tests.support import find_tool, kernel_release

TEXT = """\
        r2 = 1 ll           ; two slots
        r1 = *(u32 *)(r1 + 0)
        call inner
        exit
inner:
        r0 = 2
        exit
"""
SOURCE = Source("examples/two.s", TEXT)


def _span(words: str) -> Span:
    start = TEXT.index(words)
    return Span(SOURCE, start, start + len(words))


def _at(words: str, row: str, dst: int = 0, src: int = 0, imm: int = 0) -> Instruction:
    return Instruction(BY_NAME[row], dst, src, imm=imm, span=_span(words))


CALL = Instruction(BY_NAME["call_local"], ref=FunctionRef("inner"), span=_span("call inner"))
PROGRAM = ProgramSpec(
    "two",
    "xdp",
    "xdp",
    (
        _at("r2 = 1 ll", "lddw", dst=2, imm=1),
        _at("r1 = *(u32 *)(r1 + 0)", "ldxw", dst=1, src=1),
        CALL,
        _at("exit", "exit"),
    ),
    functions=(
        Function(
            "inner", (_at("r0 = 2", "mov64_imm", imm=2), instruction("exit")), _span("inner:")
        ),
    ),
)


def _lines(found: DebugInfo) -> list[tuple[int, str, str, int, int]]:
    text = decode_strings(found.btf)
    return [
        (each.insn_off, text.at(each.file_name_off), text.at(each.line_off), each.line, each.column)
        for each in unpack_line_info(found.line_info)
    ]


def test_each_instruction_has_its_line_and_column() -> None:
    found = debug_info(link(PROGRAM))

    assert _lines(found) == [
        (0, "examples/two.s", "        r2 = 1 ll           ; two slots", 1, 9),
        (2, "examples/two.s", "        r1 = *(u32 *)(r1 + 0)", 2, 9),
        (3, "examples/two.s", "        call inner", 3, 9),
        (4, "examples/two.s", "        exit", 4, 9),
        (5, "examples/two.s", "        r0 = 2", 6, 9),
    ]
    assert (found.line_info_cnt, found.func_info_cnt) == (5, 2)


def test_the_program_is_global_and_takes_its_context_and_subprograms_are_static() -> None:
    found = debug_info(link(PROGRAM))
    btf = decode(found.btf)
    functions = [
        (each.insn_off, btf.get(each.type_id)) for each in unpack_func_info(found.func_info)
    ]

    assert functions == [(0, t.Func("two", 4, 1)), (5, t.Func("inner", 5, 0))]
    assert btf.get(4) == t.FuncProto(1, (t.Param("ctx", 3),))
    assert btf.get(3) == t.Ptr(2)
    assert btf.get(2) == t.Struct("xdp_md", 0, ())
    assert btf.get(5) == t.FuncProto(1)


def _spanned(*spans: Location | None) -> LinkedProgram:
    rows = [Instruction(BY_NAME["mov64_imm"], imm=n, span=span) for n, span in enumerate(spans)]
    return link(ProgramSpec("p", "xdp", "xdp", (*rows, instruction("exit"))))


def test_a_program_without_places_has_functions_and_no_lines() -> None:
    found = debug_info(_spanned(None, None))

    assert found.line_info == b""
    assert found.func_info_cnt == 1


def test_a_function_that_begins_without_a_place_begins_at_its_first_one() -> None:
    first = LineSpan("p.py", 7, text="f.mov(r0, 2)")

    assert _lines(debug_info(_spanned(None, first))) == [(0, "p.py", "f.mov(r0, 2)", 7, 0)]


def test_a_function_without_any_place_begins_at_its_own_or_at_line_0() -> None:
    placed = _at("exit", "exit")
    bare = (instruction("mov64_imm"), instruction("exit"))
    for span, expected in (
        (_span("inner:"), (2, "examples/two.s", "inner:", 5, 1)),
        (None, (2, "", "", 0, 0)),
    ):
        inner = Function("inner", bare, span)
        found = debug_info(link(ProgramSpec("p", "xdp", "xdp", (CALL, placed), functions=(inner,))))
        assert _lines(found)[2:] == [expected]


def test_one_record_is_enough_for_instructions_from_one_place() -> None:
    one, two = (LineSpan("p.py", line, text=f"line {line}") for line in (1, 2))

    assert _lines(debug_info(_spanned(one, one, None, two, one))) == [
        (0, "p.py", "line 1", 1, 0),
        (3, "p.py", "line 2", 2, 0),
        (4, "p.py", "line 1", 1, 0),
    ]


def test_what_does_not_fit_its_bits_is_left_unsaid() -> None:
    wide = LineSpan("p.py", 5, 1024, text="wide")
    long = LineSpan("p.py", 1 << 22, 3, text="long")

    assert _lines(debug_info(_spanned(wide, long))) == [
        (0, "p.py", "wide", 5, 0),
        (1, "p.py", "", 0, 0),
    ]


def test_texts_that_btf_cannot_hold_are_made_to_fit() -> None:
    odd = LineSpan("a\0b.py", 1, text="x\0y\ud800")

    assert _lines(debug_info(_spanned(odd))) == [(0, "a b.py", "x y?", 1, 0)]


def test_without_room_for_the_texts_the_places_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "_MAX_BTF", 200)

    assert _lines(debug_info(link(PROGRAM)))[0] == (0, "examples/two.s", "", 1, 9)


def test_in_big_endian_the_records_are_too() -> None:
    little, big = debug_info(link(PROGRAM)), debug_info(link(PROGRAM), byteorder="big")

    assert decode(big.btf) == decode(little.btf)
    assert unpack_line_info(big.line_info, byteorder="big") == unpack_line_info(little.line_info)


SPANS = st.one_of(
    st.none(),
    st.builds(LineSpan, st.just("p.py"), st.integers(1, 3), text=st.sampled_from("ab")),
)


@given(bodies=st.lists(st.lists(SPANS, min_size=1, max_size=5), min_size=1, max_size=4))
def test_records_keep_the_kernels_rules(bodies: list[list[Location | None]]) -> None:
    """Those of check_btf_line: strictly in order, never inside lddw, and one for each function."""
    streams = [
        tuple(Instruction(BY_NAME["lddw"], imm=1, span=span) for span in body) for body in bodies
    ]
    calls = tuple(
        instruction("call_local", ref=FunctionRef(f"f{n}")) for n in range(1, len(bodies))
    )
    functions = tuple(Function(f"f{n}", streams[n]) for n in range(1, len(bodies)))
    linked = link(ProgramSpec("f0", "xdp", "xdp", streams[0] + calls, functions=functions))
    places = [each.insn_off for each in unpack_line_info(debug_info(linked).line_info)]
    if not any(span for body in bodies for span in body):
        assert places == []
        return

    assert all(one < other for one, other in pairwise(places))
    assert set(places) <= {slot for slot, _ in linked.slots()}
    assert {each.slot for each in linked.functions} <= set(places)


def _load(linked: LinkedProgram, type: int, log_level: int = 0) -> tuple[int, str]:
    found = debug_info(linked)
    with kernel.closing(kernel.btf_load(found.btf)) as btf:
        return kernel.prog_load(
            image(linked).code,
            type,
            btf=btf,
            func_info=found.func_info,
            line_info=found.line_info,
            log_level=log_level,
        )


def _bpftool(*words: str) -> str:
    command = [find_tool("bpftool"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_bpftool_shows_the_lines_of_the_source() -> None:
    fd, _ = _load(link(PROGRAM), kernel.XDP)
    with kernel.closing(fd):
        shown = _bpftool("prog", "dump", "xlated", "id", str(kernel.prog_id(fd)), "linum")

    assert [line for line in shown.splitlines() if line[:1] in (";", "i")] == [
        "int two(struct xdp_md * ctx):",
        "; r2 = 1 ll           ; two slots [file:examples/two.s line_num:1 line_col:9]",
        "; r1 = *(u32 *)(r1 + 0) [file:examples/two.s line_num:2 line_col:9]",
        "; call inner [file:examples/two.s line_num:3 line_col:9]",
        "; exit [file:examples/two.s line_num:4 line_col:9]",
        "int inner():",
        "; r0 = 2 [file:examples/two.s line_num:6 line_col:9]",
    ]


@pytest.mark.kernel
def test_the_verifiers_log_shows_the_line_that_it_refuses() -> None:
    read = _at("r1 = *(u32 *)(r1 + 0)", "ldxw", dst=0, src=3)
    with pytest.raises(kernel.Refused) as refused:
        _load(link(ProgramSpec("bad", "xdp", "xdp", (read, _at("exit", "exit")))), kernel.XDP, 1)

    place = " @ two.s:2" if kernel_release() >= (6, 9) else ""
    assert f"; r1 = *(u32 *)(r1 + 0){place}\n0: (61) r0 = *(u32 *)(r3 +0)" in refused.value.log
    assert "R3 !read_ok" in refused.value.log


# Types whose main program can be loaded without a BTF target or an attach point.
LOADABLE = (
    ("socket_filter", 1), ("kprobe", 2), ("sched_cls", 3), ("tracepoint", 5), ("xdp", 6),
    ("perf_event", 7), ("cgroup_skb", 8), ("lwt_in", 10), ("sock_ops", 13), ("sk_skb", 14),
    ("cgroup_device", 15), ("sk_msg", 16), ("raw_tracepoint", 17), ("cgroup_sysctl", 23),
    ("sk_reuseport", 21), ("flow_dissector", 22), ("unheard_of", 6),
)  # fmt: skip


_NO_STRUCT = [pytest.mark.needs("contexts that are no struct")]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("type", "number"),
    [
        pytest.param(*each, marks=_NO_STRUCT if each[0] in ("tracepoint", "unheard_of") else ())
        for each in LOADABLE
    ],
)
def test_the_kernel_takes_the_context_of_each_type_without_a_word(type: str, number: int) -> None:
    body = (_at("r0 = 2", "mov64_imm", imm=1), _at("exit", "exit"))
    fd, log = _load(link(ProgramSpec("int", type, type, body)), number, 2)
    with kernel.closing(fd):
        assert [line for line in log.splitlines() if "arg#0" in line or "BTF" in line] == []


@pytest.mark.kernel
def test_the_kernel_takes_functions_without_places_of_their_own() -> None:
    callback = Function("odd name.1", (instruction("mov64_imm"), instruction("exit")))
    call = Instruction(BY_NAME["call_local"], ref=FunctionRef("odd name.1"), span=CALL.span)
    main = (call, instruction("exit"))
    fd, _ = _load(link(ProgramSpec("9", "xdp", "xdp", main, functions=(callback,))), kernel.XDP)
    with kernel.closing(fd):
        assert kernel.run_once(fd) == 0


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_bpftool_shows_typed_maps_as_numbers() -> None:
    spec = MapSpec("m", "array", 4, 6, 1, key="u32", value="s16[3]")
    types = map_types(spec)
    assert types is not None
    ids = types.key_type_id, types.value_type_id
    with kernel.closing(kernel.btf_load(types.btf)) as btf:
        fd = kernel.map_create(kernel.ARRAY, 4, 6, 1, btf=btf, ids=ids)
    with kernel.closing(fd):
        kernel.map_update(fd, bytes(4), struct.pack("=3h", 1, -2, 3))
        shown = json.loads(_bpftool("-j", "map", "dump", "id", str(kernel.map_id(fd))))

    assert [each["formatted"] for each in shown] == [{"key": 0, "value": [1, -2, 3]}]


def test_a_map_whose_types_are_not_known_or_not_taken_has_none() -> None:
    def known(type: str, key: str, key_size: int, value: str, value_size: int) -> bool:
        spec = MapSpec("m", type, key_size, value_size, 1, key=key, value=value)
        return map_types(spec) is not None

    assert known("hash", "u64", 8, "u8[6]", 6)
    assert not known("hash", "", 8, "u8[6]", 6)
    assert not known("hash", "u64", 8, "struct flow", 6)
    assert not known("hash", "u64", 8, "u8[6]", 8)
    assert not known("hash", "u64", 8, "u8[0]", 0)
    assert not known("xskmap", "u32", 4, "u32", 4)


def test_the_types_of_a_map_are_integers_of_the_named_size() -> None:
    types = map_types(MapSpec("m", "percpu_hash", 4, 8, 1, key="s32", value="u64"))

    assert types is not None
    btf = decode(types.btf)
    assert btf.get(types.key_type_id) == t.Int("s32", 4, 32, t.IntEncoding.SIGNED)
    assert btf.get(types.value_type_id) == t.Int("u64", 8, 64)


def test_file_paths_stay_as_the_user_gave_them() -> None:
    assert Path(_lines(debug_info(link(PROGRAM)))[0][1]) == Path("examples/two.s")
