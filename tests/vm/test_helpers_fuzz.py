"""Every helper with any arguments: an answer or a fault, and nothing else."""

from __future__ import annotations

import os
import random

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Cgroup, Inode, Interpreter, Network, Route, Socket, Task, Tunnel
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers import HELPERS, call_helper
from ebpfasm.analysis.vm.kfuncs import KFUNCS, call_kfunc
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.errors import VmError

TIMES = int(os.environ.get("EBPFASM_FUZZ", "1"))
MAPS = """
.map arrays, array, key=u32, value_size=64, max_entries=4
.map hashes, hash, key=u32, value=u64, max_entries=4
.map rings, ringbuf, max_entries=4096
.map records, user_ringbuf, max_entries=4096
.map events, perf_event_array, max_entries=4
.map stacks, stack_trace, key=u32, value_size=64, max_entries=4
.map groups, cgroup_array, key=u32, value=u32, max_entries=4
.map socks, sockmap, key=u32, value=u64, max_entries=4
.map sockhashes, sockhash, key=u32, value=u64, max_entries=4
.map reuse, reuseport_sockarray, key=u32, value=u64, max_entries=4
.map kept, sk_storage, key=s32, value=u64, flags=1
.map tasks, task_storage, key=s32, value=u64, flags=1
.map devices, devmap, key=u32, value=u32, max_entries=4
.map filters, bloom_filter, key_size=0, value=u64, max_entries=10
.map queues, queue, key_size=0, value=u64, max_entries=2
"""
SECTIONS = (
    "tc", "xdp", "sk_msg", "sockops", "raw_tp/x", "cgroup/sysctl", "sk_lookup", "sk_reuseport",
    "cgroup/connect4", "cgroup/sock_create", "lwt_in", "flow_dissector", "cgroup/getsockopt",
)  # fmt: skip


def made(section: str) -> Machine:
    names = [line.split()[1].rstrip(",") for line in MAPS.split("\n") if line]
    loads = "\n".join(f"r2 = {name} ll" for name in names)
    text = (
        f'.license "GPL"\n{MAPS}\n.section {section}\nm: r6 = r1\n{loads}\nr1 = f ll\nr0 = 0\nexit'
    )
    spec = ebpfasm.assemble(f"{text}\n.text\nf: r0 = 1; exit").programs["m"]
    socket = Socket(src_port=80, src_ip="10.0.0.1", state=1)
    network = Network(
        sockets=[socket], tunnel=Tunnel(id=5), routes=[Route("0.0.0.0/0", 7, "10.0.0.9")]
    )
    machine = ebpfasm.virtual_machine(
        spec, native=False, network=network, task=Task(), budget=10_000
    ).machine
    for map in ("socks", "sockhashes", "reuse"):
        machine.world.maps[map].fill({0: socket})
    machine.world.maps["records"].send(b"12345678")  # type: ignore[attr-defined]
    return machine


def addresses(machine: Machine) -> list[int]:
    """Places that mean something to helpers."""
    objects, stack = machine.world.objects, machine.frames[0].address + 512
    items = (Socket(), Inode(), Cgroup(), machine.world.task, *machine.world.network.sockets)
    found = [each.address for each in machine.world.maps.values()]
    found += [objects.place(each) for each in items]
    found += [machine.ctx.address, machine.packet.address(machine.packet.data)]
    found += [stack - at for at in (8, 16, 24, 44, 64, 128, 512)]
    found += [machine.code_region.element(at) for at in machine.code.starts]
    return found


def argument(choose: random.Random, known: list[int]) -> int:
    match choose.randrange(6):
        case 0 | 1 | 2:
            return choose.choice(known)
        case 3:
            return choose.choice((0, 1, 2, 4, 8, 16, 20, 28, 36, 40, 44, 64))
        case 4:
            return choose.choice((-1, -2, -22)) & (1 << 64) - 1
        case _:
            return choose.getrandbits(choose.choice((8, 32, 64)))


@pytest.mark.parametrize("section", SECTIONS)
def test_helpers_answer_or_fault(section: str) -> None:
    choose = random.Random(section)
    machine = made(section)
    known = addresses(machine)
    names: tuple[int | str, ...] = (*HELPERS, *KFUNCS)
    for _ in range(4 * TIMES):
        for name in names:
            engine = Interpreter(machine)
            machine.begin(choose.randbytes(choose.choice((14, 64, 100))), None)
            engine.enter(machine.entry)
            machine.frames[0].host[:] = choose.randbytes(512)
            registers = [argument(choose, known) for _ in range(5)]
            try:
                if isinstance(name, int):
                    r0 = call_helper(machine, name, registers)
                else:
                    r0 = call_kfunc(machine, name, registers)
                assert -(1 << 63) <= r0 < 1 << 64
            except (Fault, VmError):
                pass
            engine.frames.clear()
            machine.release()
