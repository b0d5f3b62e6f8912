from __future__ import annotations

import errno
import struct

import pytest

from ebpfasm.errors import LoadError
from ebpfasm.native import native_core
from ebpfasm.runtime import refusals, syscall
from ebpfasm.runtime.objects import kernel_name


def test_names_are_cut_to_what_the_kernel_takes() -> None:
    assert kernel_name("short") == b"short"
    assert kernel_name("päckchen.zähler-1") == b"p_ckchen.z_hler"


def test_an_empty_buffer_has_no_address() -> None:
    assert syscall.address(bytearray()) == 0
    assert syscall.address(bytearray(1)) != 0


@pytest.mark.kernel
def test_both_engines_give_the_kernels_errno() -> None:
    engines = [syscall._ctypes_engine()]
    core = native_core()
    if core is not None:
        engines.append(syscall._native_engine(core))
    for engine in engines:
        bad = bytearray(struct.pack("=IIII", 9999, 4, 4, 1))
        assert engine.call(syscall.MAP_CREATE, bad) == -errno.EINVAL
        assert engine.call(syscall.OBJ_GET_INFO_BY_FD, bytearray(16)) < 0
        buffer = bytearray(b"bytes")
        assert engine.address(buffer) == syscall.address(buffer)


@pytest.mark.kernel
def test_a_refused_call_raises_the_errno() -> None:
    with pytest.raises(OSError, match="Invalid argument") as refusal:
        syscall.bpf(syscall.MAP_CREATE, bytearray(struct.pack("=IIII", 9999, 4, 4, 1)))
    assert refusal.value.errno == errno.EINVAL


def test_an_errno_becomes_a_sentence_with_its_name() -> None:
    refusal = refusals.refused("attach-failed", "attach 'x' to y", errno.ENODEV)
    assert isinstance(refusal, LoadError)
    assert (str(refusal), refusal.errno) == (
        "error[attach-failed]: cannot attach 'x' to y: No such device (ENODEV)",
        errno.ENODEV,
    )
    assert refusals.meaning(524) == "Operation not supported by the kernel (ENOTSUPP)"


def test_program_types_need_their_capabilities() -> None:
    assert refusals.rights_for("socket_filter") == ("CAP_BPF",)
    assert refusals.rights_for("xdp") == ("CAP_BPF", "CAP_NET_ADMIN")
    assert refusals.rights_for("kprobe") == ("CAP_BPF", "CAP_PERFMON")
