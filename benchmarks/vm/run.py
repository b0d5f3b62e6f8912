"""Instructions a second of the virtual machine's engines, beside uBPF's interpreter and the kernel.

uBPF is built from its source, the folder in UBPF_SOURCE (github.com/iovisor/ubpf); without it that
column stays empty. The kernel's JIT is asked by BPF_PROG_TEST_RUN where it may be used.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import ebpfasm
from ebpfasm import EbpfError, ProgramSpec
from ebpfasm.analysis.vm import pcap
from ebpfasm.runtime.running.packets import run_packets

HERE = Path(__file__).parent
RUNS = 9
PACKETS = 1_000_000
FRAME = bytes(12) + b"\x08\x00" + bytes(9) + b"\x11" + bytes(40)

# name -> (text over r1 = memory, executions in a measurement); each ends with r0
LOOPS = {
    "arithmetic loop": (
        """r0 = 0; r2 = 1000000
        loop: r0 += r2; r3 = r0; r3 <<= 3; r0 ^= r3; r3 >>= 7; w3 *= 31; r0 += r3
        r2 += -1
        if r2 != 0 goto loop
        exit""",
        1,
    ),
    "memory loop": (
        """r0 = 0; r2 = 500000; *(u64 *)(r10 - 8) = 1; *(u64 *)(r10 - 16) = 2
        loop: r3 = *(u64 *)(r10 - 8); r4 = *(u64 *)(r10 - 16); r3 += r4
        *(u64 *)(r10 - 16) = r3; *(u64 *)(r10 - 8) = r4; r5 = *(u8 *)(r1 + 12); r0 += r5
        r2 += -1
        if r2 != 0 goto loop
        exit""",
        1,
    ),
    "call loop": (
        """r6 = 300000; r0 = 0
        loop: r1 = r6; call add; r6 += -1
        if r6 != 0 goto loop
        exit
        .text
        add: r0 = r1; r0 += 5; exit""",
        1,
    ),
}

COUNT = """
.license "GPL"
.map counts, array, key=u32, value=u64, max_entries=256
.section xdp
count:
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r0 = 2
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    w5 = *(u16 *)(r2 + 12)
    if w5 != 8 goto out
    w5 = *(u8 *)(r2 + 23)
    *(u32 *)(r10 - 4) = w5
    r1 = counts ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    r1 = r0
    r0 = 1
    if r1 == 0 goto out
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r0 = 2
out:
    exit
"""


def main() -> None:
    """Print a line for each program, and what a million packets and one run cost."""
    with tempfile.TemporaryDirectory() as folder:
        peer = build_peer(Path(folder))
        for name, (text, times) in LOOPS.items():
            program = ebpfasm.assemble(f".section .text.m\nm: {text}").programs["m"]
            compare(name, program, times, peer, Path(folder))
    packets()
    start()


def build_peer(folder: Path) -> Path | None:
    """Compile uBPF and the loop around it; None without its source."""
    source = os.environ.get("UBPF_SOURCE")
    if source is None:
        return None
    (folder / "ubpf_config.h").write_text("#pragma once\n#define UBPF_HAS_ELF_H 1\n")
    vm, out = Path(source) / "vm", folder / "peer"
    parts = [str(path) for path in sorted(vm.glob("ubpf_*.c"))]
    flags = ["-O2", "-w", f"-I{folder}", f"-I{vm}/inc", f"-I{vm}"]
    subprocess.run(["cc", *flags, str(HERE / "peer.c"), *parts, "-lm", "-o", out], check=True)
    return out


def compare(name: str, program: ProgramSpec, times: int, peer: Path | None, folder: Path) -> None:
    """Run the engines in turn."""
    memory = bytearray(64)
    memory[12] = 8
    native = ebpfasm.virtual_machine(program, budget=1 << 40)
    reference = ebpfasm.virtual_machine(program, native=False, budget=30_000)
    native.execute(bytes(memory))
    instructions = native.engine.count
    ours, theirs = [], []
    code = folder / "code.bin"
    code.write_bytes(ebpfasm.encode(program))
    for _ in range(RUNS):
        ours.append(seconds(lambda: native.execute(bytes(memory))))
        if peer is not None:
            done = subprocess.run([peer, code, str(times)], capture_output=True, check=True)
            theirs.append(float(done.stdout.split()[0]) / 1e9)
    slow = seconds(lambda: attempt(lambda: reference.execute(bytes(memory))))
    line = f"{name:<18} native {instructions / statistics.median(ours) / 1e6:7.0f} M/s"
    line += f"   reference {30_000 / slow / 1e6:5.2f} M/s"
    if theirs:
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        line += f"   uBPF {instructions / statistics.median(theirs) / 1e6:7.0f} M/s"
        line += f"   native is {ratio:.2f} times as fast"
    jit = in_kernel(name)
    print(line + (f"   kernel JIT {jit / 1e6:7.0f} M/s" if jit else ""))


def in_kernel(name: str) -> float:
    """Instructions a second in the kernel, of a loop that is short enough for its verifier."""
    text = re.sub(r"(r[26]) = \d{6,7}", r"\1 = 1000", LOOPS[name][0])
    if name == "memory loop":
        text = text.replace("*(u8 *)(r1 + 12)", "*(u32 *)(r1 + 12)")  # a field of the context
    program = ebpfasm.assemble(f".section xdp\nm: {text}").programs["m"]
    count = ebpfasm.run(program, FRAME, engine="vm").instructions or 0
    try:
        done = ebpfasm.run(program, FRAME, engine="kernel", repeat=1000)
    except EbpfError:
        return 0
    return count / max(done.duration_ns, 1) * 1e9


def packets() -> None:
    """A million packets of a capture, and the same program in the kernel."""
    program = ebpfasm.assemble(COUNT).programs["count"]
    capture = pcap.write([FRAME] * PACKETS)
    took = [seconds(lambda: run_packets(program, capture, engine="vm")) for _ in range(3)]
    print(f"{PACKETS:,} packets of a capture, parsed and counted: {min(took):.3f} s")
    try:
        kernel = ebpfasm.run(program, FRAME, repeat=PACKETS, engine="kernel")
        print(f"the kernel's JIT, by a test run: {kernel.duration_ns * PACKETS / 1e9:.3f} s")
    except EbpfError:
        print("the kernel may not be used here")


def start() -> None:
    """What one run costs from Python, beside what it runs."""
    machine = ebpfasm.virtual_machine(ebpfasm.assemble(COUNT).programs["count"])
    took = [seconds(lambda: [machine.execute(FRAME) for _ in range(1000)]) for _ in range(RUNS)]
    print(f"one run from Python: {statistics.median(took) / 1000 * 1e6:.1f} us")


def seconds(action: object) -> float:
    """Wall time of a call."""
    begin = time.perf_counter()
    action()  # type: ignore[operator]
    return time.perf_counter() - begin


def attempt(action: object) -> None:
    """Do something until the budget stops it."""
    try:
        action()  # type: ignore[operator]
    except EbpfError:
        return


if __name__ == "__main__":
    main()
