"""Objects' BTF in the running kernel."""

from __future__ import annotations

import os

import pytest

from ebpfasm.btf import codec
from ebpfasm.btf.kernel import BtfFeature
from ebpfasm.btf.types import Btf, Int
from ebpfasm.runtime.info.btf import read_btf
from ebpfasm.runtime.loading import btf_load
from tests.btf.test_kernel import object_btf
from tests.support import kernel_release

pytestmark = pytest.mark.kernel


@pytest.mark.tool("clang")
def test_an_objects_types_are_loaded_whatever_this_kernel_lacks() -> None:
    data = object_btf()
    fd = btf_load.load_btf(data)
    assert fd > 0
    try:
        loaded = codec.decode(read_btf(fd))
    finally:
        os.close(fd)
    assert len(loaded) >= len(codec.decode(data))
    assert loaded.types[0] == codec.decode(data).types[0]


def test_the_features_are_those_of_the_release() -> None:
    found = btf_load.features()
    for each in BtfFeature:
        major, minor = map(int, each.value.split("."))
        # Distribution kernels may have more than their number says, never less.
        assert each in found or kernel_release() < (major, minor)


def test_what_is_no_btf_has_no_descriptor() -> None:
    assert btf_load.load_btf(b"no BTF") == 0
    assert btf_load.load_btf(codec.encode(Btf((Int("int", 4, 33),)))) == 0
