"""What people get wrong on their first day, and what they are told: never a traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm import LoadError, Map, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime import bpffs
from tests.cli.support import Command
from tests.support import find_tool

GOOD = """\
.license "GPL"
.map hits, hash, key=u32, value=u64, max_entries=1
.section xdp
count:
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = hits ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    w0 = XDP_PASS
    exit
"""

# What is put in the place of what, the place that is told, what is said, and the mend.
SLIPS = {
    "register": ("r2 += -4", "r12 += -4", "7:5: error[asm-register]", "registers are r0 to r10"),
    "helper": ("lookup_elem", "lokup_elem", "9:10: error[asm-symbol]", "mean bpf_map_lookup_elem?"),
    "map": ("hits ll", "hit ll", "8:10: error[asm-symbol]", "did you mean hits?"),
    "label": ("goto out", "goto oot", "10:21: error[asm-label-undefined]", "did you mean out?"),
    "constant": ("XDP_PASS", "XDP_PAS", "14:10: error[asm-symbol]", "did you mean XDP_PASS?"),
    "map type": (", hash,", ", hsh,", "2:12: error[asm-map]", "did you mean hash?"),
    "key type": ("key=u32", "key=int", "2:22: error[asm-map]", "use u8 to u64"),
    "no exit": ("    exit\n", "", "14:5: error[verify-fall-through]", "end the function with"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.s").write_text(GOOD, encoding="utf-8")
    return tmp_path


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Say:
    """Run the command; its status, and all that it prints."""

    def run(*words: str) -> tuple[int, str]:
        outcome = Command(capfdbinary)(*words)
        return outcome.status, outcome.out + outcome.err

    return run


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_a_file_is_shown_at_its_place_with_its_mend(
    say: Say, folder: Path, slip: str
) -> None:
    right, wrong, place, mend = SLIPS[slip]
    assert right in GOOD
    (folder / "slip.s").write_text(GOOD.replace(right, wrong), encoding="utf-8")
    status, said = say("verify", "slip.s")
    assert status != 0
    assert said.startswith(f"slip.s:{place}: ")
    assert mend in said.partition("hint: ")[2]


FILES = {
    "hello.txt": "hello\n",
    "empty.s": "",
    "section.s": GOOD.replace("section xdp", "section xpd"),
    "no_section.s": "f:\n    r0 = 0\n    exit\n",
    "syntax.py": "def f(:\n",
    "nothing.py": "x = 1\n",
    "import.py": "import no_such_module\n",
    "method.py": (
        "from ebpfasm.dsl import R0, Builder\n"
        "b = Builder()\n"
        'with b.program("f", section="xdp") as p:\n'
        "    p.move(R0, 1)\n"
        "spec = b.build()\n"
    ),
}

# What is typed, the status, and what is said of it.
TYPED: list[tuple[str, int, tuple[str, ...]]] = [
    ("asm nope.s", 1, ("error[file-missing]: nope.s: no such file",)),
    ("asm .", 1, ("error[file-missing]: .: is a directory",)),
    ("asm hello.txt", 1, ("cannot tell what kind of file", "hint: end its name in .s")),
    ("inspect /bin/true", 1, ("EM_X86_64, not EM_BPF", "hint: compile with clang -target bpf")),
    ("asm syntax.py", 1, ("syntax.py:1:7: error[file-kind]: not Python",)),
    ("asm nothing.py", 1, ("leaves no CollectionSpec behind", "hint: leave one in a variable")),
    ("asm import.py", 1, ("import.py:1:1: error[file-python]: ModuleNotFoundError", "^^^")),
    ("asm method.py", 1, ("method.py:4:5: error[file-python]: AttributeError: ", "p.move(R0, 1)")),
    ("verify empty.s", 2, ("error[cli-usage]: the file has no program",)),
    ("run empty.s", 1, ("error[cli-usage]: the file has no program",)),
    ("verify good.s --prog cuont", 2, ("has no program cuont", "did you mean count?")),
    ("run good.s --data zz", 1, ("'zz' is not hexadecimal", "hint: give pairs of")),
    ("run good.s --data @no.pcap", 1, ("error[file-missing]: no.pcap",)),
    ("run good.s --engine kernal", 2, ("'kernal' is not one of",)),
    ("asm good.s -o no/x.o", 1, ("error[file-write]: no/x.o cannot be written",)),
    ("asm good.s --fromat hex", 2, ("Did you mean '--format'?",)),
    ("example run xdp_stat", 1, ("there is no example xdp_stat", "did you mean xdp_stats?")),
]
NEEDS = {"run good.s --engine kernel --data 00": "test runs that check what they are given"}
LIVE: list[tuple[str, int, tuple[str, ...]]] = [
    ("run section.s", 1, ("section.s:4:1: error[load-program-type]", "hint: did you mean xdp?")),
    ("run no_section.s", 1, ("error[load-program-type]", 'as in .section xdp or SEC("xdp")')),
    ("attach good.s", 1, ("to which interface?", "ebpfasm attach has options for it")),
    ("attach good.s --xdp nope0", 1, ("error[interface-missing]: there is no network interface",)),
    ("attach good.s --tc lo", 1, ("it is of type xdp, not sched_cls", "section that says so")),
    ("attach good.s --xdp lo --watch hist", 1, ("has no map hist", "did you mean hits?")),
    ("attach good.s --xdp lo --pin pins", 1, ("is not in a BPF file system", "mount -t bpf bpf")),
    ("run good.s --engine kernel --data 00", 1, ("a frame has at least 14 bytes",)),
    ("disasm --id 999999999", 1, ("there is no program 999999999 in the kernel",)),
    ("map get name no_such_map 1", 1, ("there is no map 'no_such_map' in the kernel",)),
    ("disasm --pin /sys/fs/bpf/no_such_pin", 1, ("there is no such pin",)),
    (
        "map create pin --type hash --key u32 --value u64 --entries 4", 1,
        ("it is not in a BPF file system", "hint: pin below /sys/fs/bpf"),
    ),
]  # fmt: skip


def _told(say: Say, folder: Path, typed: str, status: int, said: tuple[str, ...]) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    ended, text = say(*typed.split())
    assert ended == status, text
    assert [each for each in said if each not in text] == [], text
    assert "Traceback" not in text


@pytest.mark.parametrize(("typed", "status", "said"), TYPED, ids=[each[0] for each in TYPED])
def test_a_mistake_at_the_command_is_told(
    say: Say, folder: Path, typed: str, status: int, said: tuple[str, ...]
) -> None:
    _told(say, folder, typed, status, said)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        pytest.param(
            *each, id=each[0], marks=[pytest.mark.needs(NEEDS[each[0]])] if each[0] in NEEDS else []
        )
        for each in LIVE
    ],
)
def test_a_mistake_with_the_kernel_is_told(
    say: Say, folder: Path, typed: str, status: int, said: tuple[str, ...]
) -> None:
    _told(say, folder, typed, status, said)


@pytest.mark.tool("clang")
def test_an_object_without_btf_says_how_it_gets_some(say: Say, folder: Path) -> None:
    source = """
        typedef unsigned int u32;
        struct { int (*type)[2]; int (*max_entries)[1]; u32 *key, *value; }
            m __attribute__((section(".maps"), used));
        __attribute__((section("xdp"))) int f(void *c) { return 2; }
    """
    command = [find_tool("clang"), "-O2", "-target", "bpf", "-x", "c", "-", "-c", "-o", "m.o"]
    subprocess.run(command, input=source, text=True, check=True)
    status, said = say("inspect", "m.o")
    assert status == 1
    assert "no BTF describes them\n   hint: compile with clang -g, which writes BTF\n" in said


@pytest.fixture
def live(folder: Path) -> Iterator[ebpfasm.Collection]:
    with ebpfasm.load("good.s") as loaded:
        yield loaded


@pytest.mark.parametrize("part", ["program", "map", "variable"])
def test_a_wrong_name_is_answered_with_the_right_ones(folder: Path, part: str) -> None:
    spec = ebpfasm.open("good.s")
    names = {"program": "count", "map": "hits", "variable": "none"}[part]
    with pytest.raises(KeyError, match=f"there is no {part} 'x': there are {names}"):
        getattr(spec, f"{part}s")["x"]


@pytest.mark.kernel
@pytest.mark.parametrize("part", ["program", "map", "variable"])
def test_so_is_one_of_what_is_live(live: ebpfasm.Collection, part: str) -> None:
    with pytest.raises(KeyError, match=f"there is no {part} 'x': there are"):
        getattr(live, f"{part}s")["x"]
    assert "x" not in getattr(live, f"{part}s")
    assert getattr(live, f"{part}s").get("x") is None


def test_what_is_no_program_is_refused_in_words(folder: Path) -> None:
    wrong: Any = "good.s"
    with pytest.raises(TypeError, match=r"run takes a ProgramSpec.*not str"):
        ebpfasm.run(wrong)
    wrong = ebpfasm.open("good.s")
    with pytest.raises(TypeError, match=r"verify takes a ProgramSpec.*not CollectionSpec"):
        ebpfasm.verify(wrong)
    engine: Any = "qemu"
    with pytest.raises(ValueError, match="engine is one of auto, kernel, vm, reference"):
        ebpfasm.run(wrong.programs["count"], engine=engine)
    data: Any = "0200"
    with pytest.raises(TypeError, match="data is bytes"):
        ebpfasm.run(wrong.programs["count"], data)


@pytest.mark.kernel
def test_names_that_a_load_has_no_use_for_are_refused(live: ebpfasm.Collection) -> None:
    with pytest.raises(LoadError, match=r"no program 'cuont' to be loaded\n.*did you mean count"):
        ebpfasm.load("good.s", programs=["cuont"])
    with pytest.raises(LoadError, match=r"no map 'hist' to be replaced\n.*did you mean hits"):
        ebpfasm.load("good.s", maps={"hist": live.maps["hits"]})
    with pytest.raises(LoadError, match=r"no program 'cuont' to be bound\n.*did you mean count"):
        ebpfasm.load("good.s", targets={"cuont": live.programs["count"]})


WRONG_MAPS = [
    (MapSpec("m", "hsh", 4, 8, 1), "did you mean hash?"),
    (MapSpec("m", "hash", 4, 8, 0), "type hash needs max_entries of 1 or more"),
    (MapSpec("m", "hash", 0, 8, 1), "key_size of type hash cannot be 0"),
    (MapSpec("m", "array", 8, 8, 1), "key_size of type array is 4"),
    (MapSpec("m", "lpm_trie", 8, 8, 1), "type lpm_trie needs the flag BPF_F_NO_PREALLOC"),
    (
        MapSpec("m", "sk_storage", 4, 8, 1, CONSTANTS["BPF_F_NO_PREALLOC"]),
        "type sk_storage has no max_entries",
    ),
]


@pytest.mark.kernel
@pytest.mark.parametrize(("spec", "mend"), WRONG_MAPS, ids=[each[1] for each in WRONG_MAPS])
def test_a_map_that_cannot_be_says_why(spec: MapSpec, mend: str) -> None:
    with pytest.raises(LoadError) as refusal:
        Map.create(spec)
    assert refusal.value.diagnostics[0].hint == mend


@pytest.mark.kernel
def test_a_pin_that_is_taken_says_what_can_be_done(live: ebpfasm.Collection) -> None:
    bpffs.mount()
    path = f"{bpffs.DEFAULT}/ebpfasm_mistakes/hits"
    hits = live.maps["hits"]
    hits.pin(path)
    try:
        with pytest.raises(LoadError, match=r"something already \(EEXIST\)\n.*unpin it"):
            hits.pin(path)
    finally:
        hits.unpin(path)
