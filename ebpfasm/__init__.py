"""eBPF for Python: write programs as assembly or in Python, check, load, attach and read them.

>>> import ebpfasm
>>> spec = ebpfasm.assemble("r0 = 2; exit")
>>> ebpfasm.encode(spec.programs["main"]).hex()
'b7000000020000009500000000000000'

Importing this package is cheap: what a function needs is loaded when it is first called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from ebpfasm import dsl, errors, ir, isa, runtime
    from ebpfasm.analysis import Verdict
    from ebpfasm.analysis.vm import RunResult, VirtualMachine
    from ebpfasm.btf.types import Btf
    from ebpfasm.errors import (
        AsmError,
        BtfError,
        DecodeError,
        Diagnostic,
        DslError,
        EbpfError,
        ElfError,
        EncodeError,
        LinkError,
        LoadError,
        NotSupported,
        VerifyError,
        VmError,
    )
    from ebpfasm.ir import CollectionSpec, Function, MapSpec, ProgramSpec
    from ebpfasm.runtime.collection import Collection
    from ebpfasm.runtime.events.perf import PerfBuffer
    from ebpfasm.runtime.events.ringbuf import RingBuffer
    from ebpfasm.runtime.events.user import UserRingBuffer
    from ebpfasm.runtime.features import Features
    from ebpfasm.runtime.links import Link
    from ebpfasm.runtime.maps import Map
    from ebpfasm.runtime.programs import Program
    from ebpfasm.runtime.running.testrun import TestRun
    from ebpfasm.runtime.xsk import Umem, XskMultiSocket, XskSocket

__all__ = [
    "AsmError",
    "BtfError",
    "Collection",
    "CollectionSpec",
    "DecodeError",
    "Diagnostic",
    "DslError",
    "EbpfError",
    "ElfError",
    "EncodeError",
    "Function",
    "Link",
    "LinkError",
    "LoadError",
    "Map",
    "MapSpec",
    "NotSupported",
    "PerfBuffer",
    "Program",
    "ProgramSpec",
    "RingBuffer",
    "RunResult",
    "TestRun",
    "Umem",
    "UserRingBuffer",
    "Verdict",
    "VerifyError",
    "VirtualMachine",
    "VmError",
    "XskMultiSocket",
    "XskSocket",
    "assemble",
    "disassemble",
    "dsl",
    "encode",
    "errors",
    "features",
    "ir",
    "isa",
    "load",
    "open",
    "run",
    "runtime",
    "to_elf",
    "verify",
    "virtual_machine",
]

# Where each class lives (PEP 562); those not named here are in errors.
_HOME = {
    **dict.fromkeys(("CollectionSpec", "Function", "MapSpec", "ProgramSpec"), "ir"),
    "Program": "runtime.programs",
    "TestRun": "runtime.running.testrun",
    "Collection": "runtime.collection",
    "Link": "runtime.links",
    "Map": "runtime.maps",
    "PerfBuffer": "runtime.events.perf",
    "RingBuffer": "runtime.events.ringbuf",
    "UserRingBuffer": "runtime.events.user",
    "RunResult": "analysis.vm",
    "VirtualMachine": "analysis.vm",
    "Verdict": "analysis",
    **dict.fromkeys(("Umem", "XskMultiSocket", "XskSocket"), "runtime.xsk"),
}
_ROOMS = ("dsl", "errors", "ir", "isa", "runtime")


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"ebpfasm.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'ebpfasm' has no attribute {name!r}")
    value: object = getattr(import_module(f"ebpfasm.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def open(
    source: str | os.PathLike[str] | bytes, *, types: Mapping[str, str] | None = None
) -> CollectionSpec:
    """Read a .s, .o, .py or .bin file, or bytes of an object or of instructions.

    A .py file is run, and must leave one CollectionSpec in a variable. `types` gives the program
    type of an object's sections whose names say none: {"my_section": "xdp"}, or a section's name
    that stands for it: {"prog": "tc/ingress"}. Raises the error of what it reads (AsmError,
    ElfError, BtfError, DslError, DecodeError), EbpfError where the file cannot be opened.
    """
    from ebpfasm.sources import open_collection

    return open_collection(source, types=types)


def assemble(
    text: str,
    *,
    dialect: str = "auto",
    name: str = "<string>",
    include: Iterable[str | os.PathLike[str]] = (),
    btf: bytes | str | os.PathLike[str] | None = None,
    byteorder: Literal["little", "big"] | None = None,
) -> CollectionSpec:
    """Assemble text; `name` is what diagnostics call it. Raises AsmError with every mistake.

    `dialect` is "llvm" (`r0 += 1`), "mnemonic" (`add %r0, 1`), or "auto", which looks at the
    text's first statements. `.include` looks beside the file `name`, then in the folders of
    `include`. `btf`, bytes or a file such as /sys/kernel/btf/vmlinux, makes the members of its
    structs (`task_struct.pid`) and its enumerators numbers; raises BtfError where it is damaged.
    Sections of variables are laid out in `byteorder`, this machine's where none is given.
    """
    from ebpfasm.asm import assemble as assemble_text

    return assemble_text(text, name, dialect, include=include, btf=btf, byteorder=byteorder)


def disassemble(
    code: bytes | ProgramSpec | CollectionSpec,
    *,
    dialect: str = "llvm",
    byteorder: Literal["little", "big"] = "little",
    source: bool = False,
) -> str:
    """Write instructions as assembly that assembles to the same ones again.

    Bytes are lifted first: jump targets get labels, callees names. `dialect` is "llvm" or
    "mnemonic". With `source` the lines that instructions came from stand above them, as
    comments. Raises DecodeError.
    """
    from ebpfasm import asm, ir
    from ebpfasm.asm.reading.dialects import writable

    chosen = writable(dialect)
    match code:
        case ir.CollectionSpec():
            return asm.print_collection(code, chosen, source=source)
        case ir.ProgramSpec():
            return asm.print_program(code, chosen, source=source)
        case _:
            from ebpfasm.asm.writing.templates import print_code

            return print_code(code, chosen, byteorder=byteorder)


def encode(program: ProgramSpec, *, byteorder: Literal["little", "big"] = "little") -> bytes:
    """Encode a program with the functions it calls, as the kernel takes it; map slots hold 0.

    Raises LinkError for names that do not resolve and EncodeError for values that do not fit.
    """
    from ebpfasm import emit

    return emit.encode(program, byteorder=byteorder)


def to_elf(spec: CollectionSpec, *, byteorder: Literal["little", "big"] | None = None) -> bytes:
    """Write a collection as an ELF object that libbpf, bpftool and iproute2 load.

    Maps are described by BTF, and .BTF.ext points at the source lines. The byte order is the
    collection's, little where it is good for both. Raises LinkError for names that do not resolve,
    EncodeError for values that do not fit.
    """
    from ebpfasm.emit.elf import write_elf
    from ebpfasm.emit.objects import object_of

    return write_elf(object_of(spec, byteorder=byteorder or spec.byteorder or "little"))


def verify(program: ProgramSpec, *, kernel: str | None = None) -> Verdict:
    """Check a program in user space; what is wrong is in the verdict's diagnostics."""
    from ebpfasm import analysis

    return analysis.verify(program, kernel=kernel)


def load(
    source: CollectionSpec | str | os.PathLike[str],
    *,
    programs: Iterable[str] | None = None,
    maps: Mapping[str, Map] | None = None,
    pin_path: str | os.PathLike[str] | None = None,
    targets: Mapping[str, Program] | None = None,
    kconfig: Mapping[str, str | int | bool] | None = None,
    btf: Btf | bytes | str | os.PathLike[str] | None = None,
    types: Mapping[str, str] | None = None,
    log_level: int = 0,
    token: int | str | os.PathLike[str] | None = None,
    device: str | int | None = None,
    offload: bool = False,
) -> Collection:
    """Create the maps and load the programs of a collection, or of a file that `open` takes.

    The collection is live and owns descriptors: use it as a context manager.

    `programs` names the ones to load, optional ones among them; by default all others are. `maps`
    are open maps to be used in place of new ones, by name. Maps that ask for it (`pinning`) are
    found or pinned below `pin_path`, /sys/fs/bpf by default. `targets` are the loaded programs
    that freplace, fentry and fexit programs are for, by the latter's names. `kconfig` gives values
    of .kconfig variables before the kernel's configuration does, as in {"CONFIG_HZ": 250}. CO-RE
    relocations are answered by the running kernel's types, or by `btf`. `types` are `open`'s.
    With a `log_level` (1, 2, or 4 for statistics; linux/bpf.h) each Program keeps the verifier's
    log. `token` is a BPF token's descriptor, or the folder of a BPF file system that hands rights
    on to this user namespace; without one it is looked for as libbpf does (LIBBPF_BPF_TOKEN_PATH).
    XDP programs are bound to the network interface `device`, whose metadata they may ask for
    then; with `offload` its card runs them, and tc programs, and holds their arrays and hashes.

    Raises LoadError with the kernel's verdict at the user's own line, and nothing stays open then;
    LinkError and NotSupported where a name, field or type is not to be had here.
    """
    from ebpfasm import ir
    from ebpfasm.runtime import loader
    from ebpfasm.runtime.loading.device import bound_to

    spec = source if isinstance(source, ir.CollectionSpec) else open(source, types=types)
    return loader.load(
        spec, programs=programs, maps=maps, pin_path=pin_path, targets=targets, kconfig=kconfig,
        btf=btf, log_level=log_level, token=token, device=bound_to(device, offload=offload),
    )  # fmt: skip


def run(
    program: ProgramSpec,
    data: bytes = b"",
    *,
    ctx: bytes | Mapping[str, Any] | tuple[Any, ...] | None = None,
    maps: Mapping[str, Mapping[Any, Any]] | None = None,
    repeat: int = 1,
    engine: Literal["auto", "kernel", "vm", "reference"] = "auto",
    trace: bool = False,
    **options: Any,
) -> RunResult:
    """Run a program once on a packet and say what it returned, and what its maps hold then.

    `ctx` gives the context's fields by name, or its bytes. `engine="kernel"` uses
    BPF_PROG_TEST_RUN, "vm" the virtual machine, which needs neither a kernel nor rights,
    "reference" the same in plain Python; "auto" is the kernel where it may be used. With `trace`
    the virtual machine writes every step down; `options` are those of `virtual_machine`. Raises
    LoadError where the kernel refuses, VmError where the virtual machine stops the program.
    """
    from ebpfasm.runtime.running.once import run as run_program

    return run_program(
        program, data, ctx=ctx, maps=maps, repeat=repeat, engine=engine, trace=trace, **options
    )


def virtual_machine(
    program: ProgramSpec,
    *,
    maps: Mapping[str, Mapping[Any, Any]] | None = None,
    **options: Any,
) -> VirtualMachine:
    """Make a virtual machine for a program, to run it on packet after packet.

    `maps` gives first contents. Options: `functions` (Python functions in place of helpers, by
    name), `now` (ns), `seed`, `cpus`, `budget` (instructions of a run), `world` (of another
    machine, to share maps). Raises LinkError and VmError.
    """
    from ebpfasm.runtime.running.once import virtual_machine as make

    return make(program, maps=maps, **options)


def features() -> Features:
    """What the running kernel can do: found out by trying, when it is asked for.

    `features()["map_types"]["ringbuf"]` is an answer that is true where the kernel has it, with
    the evidence and the first Linux that has it; `features().helpers("xdp")` answers by helper.
    Raises nothing: what cannot be known is unknown.
    """
    from ebpfasm.runtime.features import features as of_this_kernel

    return of_this_kernel()
