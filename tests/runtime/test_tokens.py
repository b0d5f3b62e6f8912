"""BPF tokens: a process without rights of its own, in a real user namespace (Linux 6.9)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.errors import LoadError
from tests.runtime.attaching import COUNT
from tests.runtime.delegated import ALL, delegated
from tests.support import find_tool

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("tokens"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand rights on"),
]

TEXT = COUNT.format(section="xdp", before="", after="", verdict=2)

BEGIN = f"""
import os
import ebpfasm
from ebpfasm import LoadError
from ebpfasm.runtime.loading import tokens

spec = ebpfasm.assemble({TEXT!r}, name="count.s")

def attached(**options):
    with ebpfasm.load(spec, **options) as live:
        program, counts = live.programs["count"], live.maps["counts"]
        with program.attach_xdp("lo") as link:
            print(link.kind, program.test_run(bytes(64), repeat=3).retval, counts[0])
        assert program.info().btf_id

def refused(**options):
    try:
        attached(**options)
    except LoadError as refusal:
        print(refusal.diagnostics[0].code, refusal.diagnostics[0].hint or "", refusal)
"""
DONE = "xdp 2 3\n"


def told(folder: Path, code: str, delegate: dict[str, str] = ALL) -> str:
    """What code says in a namespace to which so much is handed on."""
    done = delegated(folder, BEGIN + code, delegate)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_token_is_made_of_a_named_folder_as_libbpf_does(tmp_path: Path) -> None:
    code = """
attached(token=place)
os.environ["LIBBPF_BPF_TOKEN_PATH"] = place
attached()
before = len(os.listdir("/proc/self/fd"))
token = tokens.create(place)
attached(token=token)
attached(token=token)
os.close(token)
assert len(os.listdir("/proc/self/fd")) == before
"""
    assert told(tmp_path, code) == DONE * 4


def test_without_a_token_the_message_says_that_there_are_some(tmp_path: Path) -> None:
    code = """
refused()
refused(token=0)
os.environ["LIBBPF_BPF_TOKEN_PATH"] = ""
refused()
"""
    lines = [each for each in told(tmp_path, code).splitlines() if each.startswith("permission")]
    assert len(lines) == 3
    for each in lines:
        assert "a BPF token, Linux 6.9" in each
        assert "held only inside a container or user namespace (EPERM)" in each


def test_the_usual_place_is_looked_at_in_a_user_namespace() -> None:
    assert told(Path("/sys/fs/bpf"), "attached()") == DONE


def test_what_is_not_handed_on_is_refused(tmp_path: Path) -> None:
    some = {**ALL, "delegate_progs": "socket_filter"}
    assert "cannot load program 'count'" in told(tmp_path, "refused(token=place)", some)
    nothing = told(tmp_path, "refused(token=place)", {})
    assert nothing.startswith("load-token it is to be mounted with delegate_cmds")
    assert "it delegates nothing" in nothing


@pytest.mark.tool("clang")
def test_an_object_s_types_go_through_the_token_too(tmp_path: Path) -> None:
    source, place = tmp_path / "typed.c", tmp_path / "bpf"
    source.write_text(TYPED)
    place.mkdir()
    command = [find_tool("clang"), "-O2", "-g", "-target", "bpf", "-c", str(source), "-o"]
    subprocess.run([*command, str(tmp_path / "typed.o")], check=True, capture_output=True)
    code = f"""
with ebpfasm.load({str(tmp_path / "typed.o")!r}, token=place) as live:
    print(live.programs["count"].test_run(bytes(64)).retval, live.maps["counts"][1])
    print(live.variables["limit"].value, live.programs["count"].info().btf_id > 0)
"""
    assert told(place, code) == "2 {'seen': 1}\n7 True\n"


TYPED = """
struct value { unsigned long long seen; };
struct {
    int (*type)[1];
    unsigned int *key;
    struct value *value;
    int (*max_entries)[4];
} counts __attribute__((section(".maps"), used));
volatile const int limit = 7;
__attribute__((section("xdp"), used)) int count(void *ctx)
{
    unsigned int key = 1;
    struct value zero = {1};
    long (*update)(void *, const void *, const void *, unsigned long long) = (void *)2;
    update(&counts, &key, &zero, 0);
    return limit == 7 ? 2 : 0;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


def test_outside_of_user_namespaces_a_named_folder_is_an_error() -> None:
    with pytest.raises(LoadError, match="outside of user namespaces rights need no token"):
        ebpfasm.load(ebpfasm.assemble(TEXT), token="/sys/fs/bpf")
    with pytest.raises(LoadError, match="not the root of a BPF file system"):
        ebpfasm.load(ebpfasm.assemble(TEXT), token="/tmp")
    with pytest.raises(LoadError, match="make a BPF token of /nowhere"):
        ebpfasm.load(ebpfasm.assemble(TEXT), token="/nowhere")


@pytest.mark.parametrize("fd", [-1, 1 << 20, 1 << 40])
def test_a_token_is_an_open_descriptor(fd: int) -> None:
    with pytest.raises(LoadError, match=rf"cannot use the BPF token {fd}: .*\(EBADF\)"):
        ebpfasm.load(ebpfasm.assemble(".section xdp\nf:\n r0 = 2\n exit"), token=fd)
