"""The running kernel's types, and modules' on top of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpfasm.btf import codec
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import Btf, Func, Int, Ptr, Struct
from ebpfasm.errors import BtfError, NotSupported
from ebpfasm.runtime import kernel_btf
from tests.support import find_tool

KERNEL = Btf((Int("int", 4, 32, 1), Struct("task", 4, ())))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for /sys/kernel/btf."""
    forget()
    monkeypatch.setattr(kernel_btf, "FOLDER", tmp_path)
    (tmp_path / "vmlinux").write_bytes(codec.encode(KERNEL))
    yield tmp_path
    forget()


def forget() -> None:
    kernel_btf.vmlinux.cache_clear()
    kernel_btf._module.cache_clear()


def module_btf(name: str) -> bytes:
    return codec.encode(Btf((Struct(name, 8, ()), Ptr(3)), BtfIndex.of(KERNEL)))


def test_modules_go_on_from_vmlinux_and_a_damaged_one_breaks_no_other(folder: Path) -> None:
    (folder / "good").write_bytes(module_btf("mine"))
    (folder / "empty").write_bytes(b"")
    (folder / "cut").write_bytes(module_btf("other")[:-8])
    (folder / "wrong").write_bytes(b"not BTF at all, but long enough for a header")
    assert kernel_btf.modules() == ("cut", "empty", "good", "wrong")
    assert list(kernel_btf.readable_modules()) == ["good"]
    found = kernel_btf.module("good")
    assert found.find(Struct, "mine") == [3]
    assert found.find(Struct, "task") == [2]
    assert found.base is kernel_btf.vmlinux()
    for name in ("cut", "empty", "wrong", "none", "\0"):
        with pytest.raises(BtfError):
            kernel_btf.module(name)


def test_types_are_read_once_and_a_module_that_is_loaded_again_anew(folder: Path) -> None:
    path = folder / "mod"
    path.write_bytes(module_btf("mine"))
    assert kernel_btf.vmlinux() is kernel_btf.vmlinux()
    assert kernel_btf.module("mod") is kernel_btf.module("mod")
    path.rename(folder.parent / "old")  # keeps its inode from being used again
    path.write_bytes(module_btf("again"))
    assert kernel_btf.module("mod").find(Struct, "again") == [3]


def test_a_kernel_without_btf_is_told_with_the_version_that_has_it(folder: Path) -> None:
    (folder / "vmlinux").unlink()
    with pytest.raises(NotSupported) as refused:
        kernel_btf.vmlinux()
    assert refused.value.since == "5.4"
    assert kernel_btf.readable_modules() == {}


def test_a_kernel_that_does_not_show_its_types_may_have_them_on_disk(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vmlinux").unlink()
    places = [tmp_path / each for each in ("none", "vmlinux-{0}", "build-{0}")]
    monkeypatch.setattr(kernel_btf, "PLACES", tuple(map(str, places)))
    release = os.uname().release
    (tmp_path / f"vmlinux-{release}").write_bytes(b"\x7fELF, and nothing behind it")
    (tmp_path / f"build-{release}").write_bytes(codec.encode(KERNEL))
    assert kernel_btf.vmlinux().find(Struct, "task") == [2]


# In a mount namespace of its own: a kernel that hides its types, and its file where libbpf looks.
HIDDEN = """
set -e
mount -t tmpfs none /sys/kernel/btf
mount -t tmpfs none /boot
cp "$1" /boot/vmlinux-$(uname -r)
bpftool prog load "$2" "$3"
rm "$3"
"$4" -c 'import sys, ebpfasm; ebpfasm.load(sys.argv[1]).close()' "$2"
rm /boot/vmlinux-$(uname -r)
! bpftool prog load "$2" "$3" 2>/dev/null
! "$4" -c 'import sys, ebpfasm; ebpfasm.load(sys.argv[1])' "$2" 2>/dev/null
"""
READER = """
struct task_struct { int pid; } __attribute__((preserve_access_index));
char _license[] __attribute__((section("license"), used)) = "GPL";
__attribute__((section("raw_tp/sys_enter"), used)) int reads(struct task_struct *context)
{ return __builtin_preserve_field_info(context->pid, 0); }
"""


@pytest.mark.kernel
@pytest.mark.tool("bpftool", "clang", "llvm-objcopy")
def test_types_on_disk_are_found_where_libbpf_finds_them(tmp_path: Path) -> None:
    if not (kernel_btf.FOLDER / "vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    empty, vmlinux, program = (tmp_path / each for each in ("empty.o", "vmlinux", "reads.o"))
    clang = [find_tool("clang"), "-g", "-O2", "-xc", "-", "-c", "-o"]
    subprocess.run([*clang, str(empty)], input=b"", check=True)
    copy = f"--add-section=.BTF={kernel_btf.FOLDER / 'vmlinux'}"
    subprocess.run([find_tool("llvm-objcopy"), copy, str(empty), str(vmlinux)], check=True)
    subprocess.run([*clang, str(program), "-target", "bpf"], input=READER.encode(), check=True)
    pin = f"/sys/fs/bpf/ebpfasm-{os.getpid()}"
    arguments = [str(vmlinux), str(program), pin, sys.executable]
    command = ["unshare", "--mount", "bash", "-c", HIDDEN, "hidden", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_bpftool_finds_the_same_ids_in_the_running_kernel() -> None:
    if not (kernel_btf.FOLDER / "vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    command = [find_tool("bpftool"), "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"]
    types = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["types"]
    index = kernel_btf.vmlinux()
    assert len(index) == types[-1]["id"]
    for kind, word in ((Struct, "STRUCT"), (Func, "FUNC")):
        wanted = [each for each in types if each["kind"] == word][::97]
        for each in wanted:
            assert each["name"] == "(anon)" or each["id"] in index.find(kind, each["name"])
