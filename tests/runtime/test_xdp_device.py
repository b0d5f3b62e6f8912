"""Programs that are loaded for one interface: for its driver's metadata, or for its card."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.dsl import R0, R2, R10, Builder
from ebpfasm.errors import LoadError
from ebpfasm.ir import CollectionSpec
from ebpfasm.runtime.network.veth import VethPair
from tests.runtime.attaching import counter
from tests.runtime.samples import bpftool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]

SIMULATED = Path("/sys/bus/netdevsim")
NUMBER = 7341  # of the simulated device


def asking_for_time() -> CollectionSpec:
    """A program that wants to know when the card received a packet."""
    builder = Builder(license="GPL")
    with builder.program("stamp", section="xdp") as p:
        p.mov(R2, R10)
        p.add(R2, -8)
        p.call_kfunc("bpf_xdp_metadata_rx_timestamp")
        p.mov(R0, 2)
        p.exit()
    return builder.build()


@pytest.mark.needs("device-bound programs")
def test_a_program_asks_its_driver_for_metadata() -> None:
    with VethPair() as pair, pair.near.entered():
        with pytest.raises(LoadError, match="require device-bound program"):
            ebpfasm.load(asking_for_time())
        with ebpfasm.load(asking_for_time(), device="veth0") as live:
            program = live.programs["stamp"]
            with program.attach_xdp("veth0") as link:
                assert bpftool("link", "show", "id", link.id)["prog_id"] == program.id
            for target, mode in (("veth0", "generic"), ("lo", "auto"), ("veth0", "offload")):
                with pytest.raises(LoadError, match="runs in that one's driver only"):
                    program.attach_xdp(target, mode)  # type: ignore[arg-type]
        with pytest.raises(LoadError, match="driver has no metadata for programs"):
            ebpfasm.load(asking_for_time(), device="lo")


@pytest.mark.needs("device-bound programs")
def test_a_card_that_runs_no_programs_says_so() -> None:
    with VethPair() as pair, pair.near.entered():
        with pytest.raises(LoadError, match="card runs no such programs"):
            ebpfasm.load(asking_for_time(), device="veth0", offload=True)
        with ebpfasm.load(counter("xdp", 2)) as live:
            with pytest.raises(LoadError, match="not loaded for this interface's card") as refusal:
                live.programs["count"].attach_xdp("veth0", "offload")
            hint = "load(..., device='veth0', offload=True) does so where the card can"
            assert refusal.value.diagnostics[0].hint == hint


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(LoadError, match="there is no network interface 'eth99'"):
        ebpfasm.load(counter("xdp", 2), device="eth99")
    with pytest.raises(ValueError, match="offload needs a device"):
        ebpfasm.load(counter("xdp", 2), offload=True)


@pytest.fixture
def card() -> Iterator[str]:
    """An interface whose card the kernel simulates (module netdevsim)."""
    if not SIMULATED.exists() and (modprobe := shutil.which("modprobe")):
        subprocess.run([modprobe, "netdevsim"], capture_output=True, check=False)
    if not SIMULATED.exists():
        # No kernel of tests/features.py is built with it: nothing can demand it.
        pytest.skip("this kernel has no module netdevsim")
    (SIMULATED / "new_device").write_text(f"{NUMBER} 1")
    try:
        (folder,) = SIMULATED.glob(f"devices/netdevsim{NUMBER}/net/*")
        yield folder.name
    finally:
        (SIMULATED / "del_device").write_text(str(NUMBER))


@pytest.mark.parametrize("via", ["link", "netlink"])
@pytest.mark.parametrize("mode", ["auto", "offload"])
def test_a_card_takes_a_program_and_its_map(card: str, via: str, mode: str) -> None:
    with ebpfasm.load(counter("xdp", 2), device=card, offload=True) as live:
        program, counts = live.programs["count"], live.maps["counts"]
        for each in (("prog", "show", "id", program.id), ("map", "show", "id", counts.id)):
            assert bpftool(*each)["dev"]["ifname"] == card
        counts[1] = 7
        assert dict(counts.items()) == {0: 0, 1: 7}
        with program.attach_xdp(card, mode, via=via) as link:  # type: ignore[arg-type]
            assert link.info().program_id == program.id
            (shown,) = bpftool("net", "show", "dev", card)[0]["xdp"]
            assert (shown["mode"], shown["id"]) == ("offload", program.id)
        assert bpftool("net", "show", "dev", card)[0]["xdp"] == []
        with pytest.raises(LoadError, match="cannot run in native mode"):
            program.attach_xdp(card, "native")
