"""Tracepoints, kprobes, uprobes and perf events: each is set off a known number of times."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.errors import LoadError, NotSupported
from ebpfasm.runtime.links import BpfLink, Links
from ebpfasm.runtime.perf_event import BREAKPOINT, PerfEvent
from tests.runtime.attaching import CALL, call, compiled, counting, judged
from tests.runtime.samples import bpftool, descriptors, reaches
from tests.support import Job, find_tool, missing

pytestmark = pytest.mark.kernel

# The number of the call, where the test knows it.
NUMBER = {"x86_64": 146, "aarch64": 125}.get(platform.machine())


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = open_now()
    yield
    assert open_now() == before


def open_now() -> dict[str, str]:
    """What is open, but for the kernel's types, which are read once a process."""
    return {number: what for number, what in descriptors().items() if "/btf/" not in what}


# Tracepoints -----------------------------------------------------------------------------------


@pytest.mark.tool("bpftool")
@pytest.mark.needs("perf_event links")
def test_a_tracepoint_is_counted_by_a_link() -> None:
    with counting(f"tracepoint/syscalls/sys_enter_{CALL}", cookie=True) as counter:
        with counter.program.attach(cookie=0x1234_5678_9ABC) as link:
            call(5)
            where = f"tracepoint syscalls/sys_enter_{CALL}"
            assert repr(link) == f"<Link perf_event on {where}, attached>"
            assert judged(link) == ("perf_event", counter.program.id)
            info = link.info()
        call(3)
        assert (counter.runs, counter.cookie) == (5, 0x1234_5678_9ABC)
        assert info.type == "perf_event"
        assert bpftool("link", "show", "id", info.id) is None


def test_a_tracepoint_is_counted_whatever_the_kernel_has() -> None:
    with counting(f"tp/syscalls/sys_enter_{CALL}") as counter:
        with counter.program.attach_tracepoint("syscalls", f"sys_enter_{CALL}") as link:
            call(5)
            assert link.info().program_id == counter.program.id
            assert link.kind in ("perf_event", "perf-ioctl")
        call(3)
        assert counter.runs == 5


def test_a_missing_tracepoint_is_named_with_its_neighbour() -> None:
    with counting("tp/syscalls/sys_enter_opennat") as counter:
        with pytest.raises(LoadError, match="did you mean syscalls/sys_enter_openat") as refusal:
            counter.program.attach()
        assert refusal.value.diagnostics[0].message == (
            "this kernel has no tracepoint syscalls/sys_enter_opennat"
        )
        with pytest.raises(LoadError, match=f"did you mean syscalls/sys_enter_{CALL}"):
            counter.program.attach_tracepoint("sched", f"sys_enter_{CALL}")
        for odd in ("..", "a\0b"):
            with pytest.raises(LoadError, match="this kernel has no tracepoint"):
                counter.program.attach_tracepoint(odd, "enable")
    with (
        counting("raw_tp/sched_swich") as counter,
        pytest.raises(LoadError, match="did you mean sched_switch"),
    ):
        counter.program.attach()


ONLY_OURS = f"    r2 = *(u64 *)(r1 + 8)\n    if r2 != {NUMBER} goto out"


@pytest.mark.tool("bpftool")
@pytest.mark.skipif(NUMBER is None, reason="the number of the system call is not known here")
@pytest.mark.parametrize(
    "section", ["raw_tp/sys_enter", "raw_tracepoint/sys_enter", "tp_btf/sys_enter"]
)
def test_a_raw_tracepoint_is_counted(section: str) -> None:
    with counting(section, before=ONLY_OURS) as counter:
        with counter.program.attach() as link:
            call(5)
            assert judged(link) == ("raw_tracepoint", counter.program.id)
            info = link.info()
            assert (info.type, info.program_id) == judged(link)
            assert info.details["tp_name"] == "sys_enter"
        call(3)
        assert counter.runs == 5


@pytest.mark.needs("raw tracepoint cookies")
@pytest.mark.skipif(NUMBER is None, reason="the number of the system call is not known here")
def test_a_raw_tracepoint_has_a_cookie() -> None:
    with counting("raw_tp/sys_enter", before=ONLY_OURS, cookie=True) as counter:
        with counter.program.attach(cookie=77):
            call()
        assert (counter.runs, counter.cookie) == (1, 77)


@pytest.mark.needs("raw tracepoint cookies told")
def test_the_kernel_tells_a_raw_tracepoint_s_cookie() -> None:
    with counting("raw_tp/sys_enter") as counter, counter.program.attach(cookie=77) as link:
        assert link.info().details["cookie"] == 77


# Kprobes ---------------------------------------------------------------------------------------


@pytest.mark.needs("kprobes")
@pytest.mark.parametrize("section", ["ksyscall", "kretsyscall"])
@pytest.mark.parametrize("via", ["perf", "tracefs"])
def test_a_kprobe_counts_a_system_call(section: str, via: str) -> None:
    with counting(f"{section}/{CALL}") as counter:
        with counter.program.attach(via=via) as link:
            call(5)
            assert link.info().program_id == counter.program.id
        call(3)
        assert counter.runs == 5
    assert "ebpfasm" not in Path("/sys/kernel/tracing/kprobe_events").read_text()


@pytest.mark.tool("bpftool")
@pytest.mark.needs("kprobes", "perf_event links")
def test_a_kprobe_has_a_cookie_and_an_offset() -> None:
    function = kernel_function()
    with counting(f"kprobe/{function}", cookie=True) as counter:
        with counter.program.attach(cookie=99) as link:
            call(2)
            assert judged(link) == ("perf_event", counter.program.id)
        assert (counter.runs, counter.cookie) == (2, 99)
        with counter.program.attach(f"{function}+0"):
            call()
        assert counter.runs == 3


def kernel_function() -> str:
    """The kernel's function for the call."""
    word = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "se")
    return f"__{word}_sys_{CALL}"


@pytest.mark.needs("kprobes")
def test_a_missing_function_of_the_kernel_is_named_with_its_neighbour() -> None:
    with counting("kprobe/do_sys_opeant2") as counter:
        for via in ("perf", "tracefs"):
            with pytest.raises(LoadError, match="has no function do_sys_opeant2") as refusal:
                counter.program.attach(via=via)
            assert refusal.value.diagnostics[0].hint == "did you mean do_sys_openat2?"
        with pytest.raises(LoadError, match="this kernel has no system call opneat"):
            counter.program.attach_ksyscall("opneat")


def test_without_kprobes_the_message_names_what_is_missing_and_what_there_is() -> None:
    if Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.skip("this kernel has kprobes")
    with counting("kprobe/do_sys_openat2") as counter:
        with pytest.raises(NotSupported, match="CONFIG_KPROBES") as refusal:
            counter.program.attach()
        assert refusal.value.diagnostics[0].hint == (
            "use a tracepoint (--tracepoint), or a kernel built with CONFIG_KPROBES"
        )


@pytest.mark.tool("bpftool")
@pytest.mark.needs("kprobe.multi")
@pytest.mark.parametrize("section", ["kprobe.multi", "kretprobe.multi"])
def test_many_kprobes_are_one_link(section: str) -> None:
    function = kernel_function()
    with counting(section, cookie=True) as counter:
        with counter.program.attach([function], cookies=[7]) as link:
            call(5)
            assert judged(link) == ("kprobe_multi", counter.program.id)
            assert link.info().details["count"] == 1
            assert link.info().details["flags"] == (section == "kretprobe.multi")
        call()
        assert (counter.runs, counter.cookie) == (5, 7)


@pytest.mark.needs("kprobe.multi")
def test_many_kprobes_are_named_by_a_pattern() -> None:
    function = kernel_function()
    with counting(f"kprobe.multi/{function[:-2]}*") as counter:  # its minimum too
        with counter.program.attach() as link:
            call(5)
            assert link.info().details["count"] == 2
        assert counter.runs == 5
        with pytest.raises(LoadError, match="the kernel has no function zzz_no"):
            counter.program.attach_kprobe_multi([function, "zzz_no"])


@pytest.mark.needs("kprobe.session")
def test_a_session_runs_at_entry_and_return() -> None:
    with counting(f"kprobe.session/{kernel_function()}") as counter:
        with counter.program.attach():
            call(5)
        assert counter.runs == 10


# Uprobes ---------------------------------------------------------------------------------------

TARGET = """
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) int work(int number) { __asm__ volatile(""); return number + 1; }
__attribute__((noinline)) int worker(int number) { __asm__ volatile(""); return number + 2; }

int main(int count, char **words)
{
    int sum = 0, times = 0;
    while (scanf("%d", &times) == 1) {
        for (int i = 0; i < times; i++)
            sum = worker(work(sum));
        printf("%d\\n", sum);
        fflush(stdout);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("target"), "target", TARGET)


def run(program: Path, times: int) -> None:
    """Have a new process call its functions so often."""
    subprocess.run([program], input=f"{times}\n", text=True, check=True, capture_output=True)


@pytest.mark.needs("uprobes")
@pytest.mark.parametrize("section", ["uprobe", "uretprobe"])
@pytest.mark.parametrize("via", ["perf", "tracefs"])
def test_a_uprobe_counts_a_function_by_its_name(target: Path, section: str, via: str) -> None:
    with counting(f"{section}/{target}:work") as counter:
        with counter.program.attach(via=via) as link:
            assert link.where == f"{section} {target}:work"
            run(target, 5)
        run(target, 3)
        assert counter.runs == 5
    assert "ebpfasm" not in Path("/sys/kernel/tracing/uprobe_events").read_text()


@pytest.mark.tool("bpftool")
@pytest.mark.needs("uprobes", "perf_event links")
def test_a_uprobe_has_a_cookie_and_bpftool_sees_it(target: Path) -> None:
    with counting("uprobe", cookie=True) as counter:
        with counter.program.attach_uprobe(target, "work", cookie=42) as link:
            run(target, 2)
            assert judged(link) == ("perf_event", counter.program.id)
        assert (counter.runs, counter.cookie) == (2, 42)


@pytest.mark.needs("uprobes")
def test_a_uprobe_counts_in_one_process_only(target: Path) -> None:
    command = [str(target)]
    with (
        Job(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one,
        Job(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as two,
        counting("uprobe") as counter,
    ):
        for each, times in ((one, 1), (two, 1)):
            answer(each, times)
        with counter.program.attach_uprobe(target, "work", pid=one.pid):
            answer(one, 5)
            answer(two, 7)
        answer(one, 3)
        assert counter.runs == 5
        for each in (one, two):
            each.communicate()


def answer(process: Job[str], times: int) -> None:
    """Have a running process call its functions so often, and wait until it has."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{times}\n")
    process.stdin.flush()
    assert process.stdout.readline()


@pytest.mark.needs("uprobes")
def test_a_library_is_found_by_its_name_and_its_process() -> None:
    libc = ctypes.CDLL(None)
    for pid in (None, os.getpid()):
        with counting("uprobe/libc.so.6:a64l") as counter:
            with counter.program.attach(pid=pid):
                for _ in range(5):
                    libc.a64l(b"./0")
            libc.a64l(b"./0")
            assert counter.runs == 5


@pytest.mark.needs("uprobes")
def test_a_place_in_a_file_is_probed_without_symbols(target: Path, tmp_path: Path) -> None:
    from ebpfasm.elf.binaries import read_functions

    place = read_functions(target)["work"]
    bare = tmp_path / "bare"
    subprocess.run(["strip", "-o", bare, target], check=True)
    with counting("uprobe") as counter:
        with pytest.raises(LoadError, match=f"{bare} has no function 'work'"):
            counter.program.attach_uprobe(bare, "work")
        with counter.program.attach_uprobe(bare, place.offset):
            run(bare, 5)
        with counter.program.attach_uprobe(bare, f"{place.offset:#x}"):
            run(bare, 1)
        assert counter.runs == 6


@pytest.mark.needs("uprobes")
def test_what_cannot_be_probed_is_said_in_words(target: Path) -> None:
    with counting("uprobe") as counter:
        program = counter.program
        for place, words in (
            (f"{target}:wrok", "did you mean work"),
            ("libc.so.6:memcpy", "memcpy in .* is an indirect function"),
            ("/no/such/file:work", "there is no file '/no/such/file'"),
            ("no-such-command:work", r"there is no command in \$PATH called 'no-such-command'"),
            ("libnosuch.so.1:work", "there is no library in the usual folders"),
            ("/etc/passwd:work", "this is no ELF file"),
            (f"{target}:0x123456789", "there is no code at this place"),
            (f"{target}", "names no function"),
        ):
            with pytest.raises(LoadError, match=words):
                program.attach(place)
        with pytest.raises(LoadError, match="to which binary and function"):
            program.attach()
        with pytest.raises(LoadError, match="there is no process 4194304"):
            program.attach_uprobe(target, "work", pid=4194304)


@pytest.mark.tool("bpftool")
@pytest.mark.needs("uprobe.multi")
def test_many_uprobes_are_one_link(target: Path) -> None:
    with counting(f"uprobe.multi/{target}:work*", cookie=True) as counter:
        with counter.program.attach() as link:
            run(target, 5)
            assert judged(link) == ("uprobe_multi", counter.program.id)
            details = link.info().details
            assert (details["count"], details["path"]) == (2, str(target))
        assert counter.runs == 10
        with counter.program.attach_uprobe_multi(target, ["worker"], cookies=[3], retprobe=True):
            run(target, 1)
        assert (counter.runs, counter.cookie) == (11, 3)
        with pytest.raises(ValueError, match="1 cookies were given for 2 functions"):
            counter.program.attach_uprobe_multi(target, ["work", "worker"], cookies=[3])
    with (
        counting("uprobe") as counter,
        pytest.raises(LoadError, match="it was loaded for no attach type"),
    ):
        counter.program.attach_uprobe_multi(target, "work")


@pytest.mark.needs("uprobe.session")
def test_a_session_in_user_space_runs_at_entry_and_return(target: Path) -> None:
    with counting(f"uprobe.session/{target}:work") as counter:
        with counter.program.attach():
            run(target, 5)
        assert counter.runs == 10


# The notes that <sys/sdt.h> writes, one probe at two places.
PROBES = """
#include <stdio.h>
#define PROBE(number) __asm__ volatile( \\
    "990: nop\\n.pushsection .note.stapsdt,\\"\\",\\"note\\"\\n.balign 4\\n" \\
    ".4byte 992f-991f, 994f-993f, 3\\n991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n" \\
    "993: .8byte 990b\\n.8byte _.stapsdt.base\\n.8byte semaphore\\n" \\
    ".asciz \\"tested\\"\\n.asciz \\"probe\\"\\n.asciz \\"-4@%0 8@$77\\"\\n" \\
    "994: .balign 4\\n.popsection\\n" \\
    ".ifndef _.stapsdt.base\\n" \\
    ".pushsection .stapsdt.base,\\"aG\\",\\"progbits\\",.stapsdt.base,comdat\\n" \\
    ".weak _.stapsdt.base\\n.hidden _.stapsdt.base\\n" \\
    "_.stapsdt.base: .space 1\\n.popsection\\n.endif\\n" \\
    :: "r"(number))
__attribute__((section(".probes"))) volatile unsigned short semaphore;

int main(void)
{
    for (int i = 0; i < 5; i++) {
        PROBE(i);
        PROBE(100 + i);
    }
    printf("%d\\n", semaphore);
    return 0;
}
"""


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("probes"), "probes", PROBES)


@pytest.mark.needs("uprobes")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the notes are written for x86-64")
def test_a_usdt_probe_is_counted_at_each_of_its_places(probes: Path) -> None:
    with counting(f"usdt/{probes}:tested:probe") as counter:
        with counter.program.attach() as link:
            said = subprocess.run([probes], capture_output=True, text=True, check=True).stdout
            assert isinstance(link, Links)
            assert len(link.links) == 2
        assert said != "0\n"  # the semaphore told the program that it is watched
        assert subprocess.run([probes], capture_output=True, check=True).stdout == b"0\n"
        assert counter.runs == 10
        with pytest.raises(LoadError, match="did you mean tested:probe"):
            counter.program.attach_usdt(probes, "tested", "prboe")
        with pytest.raises(LoadError, match=r"it has none \(no .note.stapsdt\)"):
            counter.program.attach_usdt("/bin/true", "tested", "probe")


# By libbpf's own header: the arguments are where the loader's tables say.
ARGUMENTS = """
#include <stdbool.h>
#include <linux/ptrace.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char gpl[] SEC("license") = "GPL";
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, int);
    __type(value, long);
} sums SEC(".maps");

static void add(int key, long number)
{
    long *sum = bpf_map_lookup_elem(&sums, &key);
    if (sum)
        __sync_fetch_and_add(sum, number);
}

SEC("usdt") int probed(struct pt_regs *ctx)
{
    long first = 0, second = 0;
    bpf_usdt_arg(ctx, 0, &first);
    bpf_usdt_arg(ctx, 1, &second);
    add(0, bpf_usdt_arg_cnt(ctx));
    add(1, first);
    add(2, second);
    add(3, bpf_usdt_cookie(ctx));
    return 0;
}
"""


def probing(folder: Path) -> Path:
    """The program above, compiled."""
    if not Path("/usr/include/bpf/usdt.bpf.h").exists():
        missing("libbpf", "libbpf's headers are not installed: run tools/system-packages")
    text, out = folder / "usdt.c", folder / "usdt.o"
    text.write_text(ARGUMENTS)
    command = [find_tool("clang"), "-target", "bpf", "-D__TARGET_ARCH_x86", "-O2", "-g",
               "-I/usr/include/x86_64-linux-gnu", "-c", str(text), "-o", str(out)]  # fmt: skip
    subprocess.run(command, check=True)
    return out


# Five times at each of two places, with i and 100 + i, and with 77.
SUMS = {0: 20, 1: sum(range(5)) + sum(range(100, 105)), 2: 770, 3: 70}


@pytest.mark.needs("uprobes")
@pytest.mark.tool("clang")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the notes are written for x86-64")
@pytest.mark.parametrize(
    "flags",
    [
        # Without cookies the place must be the same in all processes.
        pytest.param((), marks=pytest.mark.needs("perf_event links")),
        ("-no-pie",),
    ],
)
def test_a_usdt_probe_hands_its_arguments_over(flags: tuple[str, ...], tmp_path: Path) -> None:
    probes = compiled(tmp_path, "probes", PROBES, *flags)
    with ebpfasm.load(probing(tmp_path)) as live:
        program = live.programs["probed"]
        with program.attach(f"{probes}:tested:probe", cookie=7):
            subprocess.run([probes], check=True, capture_output=True)
        assert dict(live.maps["sums"]) == SUMS
        specs = live.maps["__bpf_usdt_specs"]
        keys = [number.to_bytes(4, sys.byteorder) for number in range(specs.max_entries)]
        used = [key for key in keys if any(specs.lookup_bytes(key) or b"")]
        program.attach(f"{probes}:tested:probe", cookie=7).detach()  # takes no more room
        assert [key for key in keys if any(specs.lookup_bytes(key) or b"")] == used
        assert len(live.maps["__bpf_usdt_ip_to_spec_id"]) == 0


@pytest.mark.needs("uprobes")
@pytest.mark.tool("clang")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the notes are written for x86-64")
def test_the_arguments_in_a_file_that_is_loaded_anywhere_are_those_of_a_process(
    tmp_path: Path,
) -> None:
    waiting = PROBES.replace("    for", "    getchar();\n    for", 1)
    probes = compiled(tmp_path, "probes", waiting)
    pipe = subprocess.PIPE
    with (
        ebpfasm.load(probing(tmp_path)) as live,
        Job[bytes]([probes], stdin=pipe, stdout=pipe) as process,
    ):
        with live.programs["probed"].attach(f"{probes}:tested:probe", pid=process.pid, cookie=7):
            process.communicate(b"\n")
        assert dict(live.maps["sums"]) == SUMS


# Perf events -----------------------------------------------------------------------------------


@pytest.mark.tool("bpftool")
def test_a_software_event_runs_on_every_cpu() -> None:
    with counting("perf_event") as counter, counter.program.attach(frequency=1000) as link:
        assert isinstance(link, Links)
        assert len(link.links) == len(os.sched_getaffinity(0)) or len(link.links) > 1
        if isinstance(link.links[0], BpfLink):
            shown = bpftool("link", "show", "id", link.links[0].id)
            assert shown["prog_id"] == counter.program.id
        assert reaches(lambda: counter.runs, 3) >= 3


def test_an_event_counts_in_one_process() -> None:
    with counting("perf_event") as counter:
        with (
            counter.program.attach("page-faults", pid=os.getpid(), period=1),
            mmap.mmap(-1, 64 * mmap.PAGESIZE) as memory,
        ):
            for page in range(64):
                memory[page * mmap.PAGESIZE] = 1
        assert counter.runs >= 64


@pytest.mark.skipif(
    not Path("/sys/bus/event_source/devices/breakpoint").exists(),
    reason="this machine has no breakpoints",
)
def test_a_breakpoint_counts_writes_to_memory() -> None:
    word = ctypes.c_uint64()
    event = PerfEvent(BREAKPOINT, 0, ctypes.addressof(word), 8, period=1, breakpoint=2)
    with counting("perf_event") as counter:
        with counter.program.attach(event, pid=threading.get_native_id()):
            for number in range(7):
                word.value = number
        word.value = 8
        assert counter.runs == 7


@pytest.mark.parametrize("event", ["task-clock", "context-switches"])
def test_software_events_of_one_process_run_the_program(event: str) -> None:
    with counting("perf_event") as counter:
        with counter.program.attach(event, pid=os.getpid(), period=1):
            assert sum(range(100_000)) > 0
            reading, writing = os.pipe()
            waiter = threading.Timer(0.01, os.write, (writing, b"x"))
            waiter.start()
            os.read(reading, 1)  # sleeps
            waiter.join()
        os.close(reading)
        os.close(writing)
        assert counter.runs > 0


@pytest.mark.skipif(
    Path("/sys/bus/event_source/devices/cpu").exists(), reason="this machine has counters"
)
def test_a_machine_without_counters_says_so() -> None:
    with counting("perf_event") as counter:
        with pytest.raises(LoadError, match="this machine has no such counter") as refusal:
            counter.program.attach("cpu-cycles")
        assert refusal.value.diagnostics[0].hint == "cpu-clock is there on every machine"


@pytest.mark.skipif(
    not Path("/sys/bus/event_source/devices/cpu").exists(), reason="this machine has no counters"
)
def test_a_hardware_counter_runs_the_program() -> None:
    with counting("perf_event") as counter:
        with counter.program.attach("instructions", pid=os.getpid(), period=100_000):
            assert sum(range(200_000)) > 0
        assert counter.runs > 0


def test_wrong_events_are_told_in_words() -> None:
    with counting("perf_event") as counter:
        attach = counter.program.attach_perf_event
        with pytest.raises(LoadError, match="did you mean page-faults"):
            attach("page-fault")
        with pytest.raises(ValueError, match="a period or a frequency, not both"):
            attach("cpu-clock", period=1, frequency=1)
        with pytest.raises(LoadError, match=r"there is no CPU 4095 online|does not take this"):
            attach("cpu-clock", cpu=4095)
        with pytest.raises(LoadError, match="it is of type perf_event, not tracepoint"):
            counter.program.attach_tracepoint("syscalls", "sys_enter_openat")
