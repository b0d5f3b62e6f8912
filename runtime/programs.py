"""Loaded programs: what the kernel says of them, test runs, attaching."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import unsupported
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.isa.kinds import PROGRAM_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.objects import object_info, pin, text_of
from ebpfasm.runtime.refusals import BPF, ENOTSUPP, refused, rights_for

if TYPE_CHECKING:
    from ebpfasm.runtime.links import Link, Mode, Via

# Types whose test run takes a frame; the others take a context alone.
_PACKET_TYPES = frozenset({
    "xdp", "socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out",
    "lwt_xmit", "lwt_seg6local", "flow_dissector", "netfilter",
})  # fmt: skip
_ETHERNET = 14  # bytes of header without which the kernel runs no packet program
_GROWTH = 4096  # bytes that a program may add to a frame before the caller must say more

# prog_fd, retval, sizes in and out, data in and out, repeat, duration, ctx sizes and places
_TEST_RUN = struct.Struct("=IIIIQQIIIIQQIII4x")
# struct bpf_prog_info up to verified_insns
_INFO = struct.Struct("=II8sIIQQQIIQ16sIIQQIIQQIIQIIQQIIIIQQQQI4x")
_XLATED_LENGTH, _XLATED_PLACE, _MAP_IDS = 20, 32, 52  # offsets in it


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a program (BPF_OBJ_GET_INFO_BY_FD).

    Lengths in bytes; `load_time` in nanoseconds since boot. `verified_instructions` is 0 where
    the kernel is older than 5.16, `btf_id` where the program came without BTF.
    """

    id: int
    type: str
    name: str
    tag: str
    xlated_length: int
    jited_length: int
    load_time: int
    map_ids: tuple[int, ...]
    btf_id: int
    verified_instructions: int


@dataclass(frozen=True, slots=True)
class TestRun:
    """The outcome of a test run; `duration_ns` is the mean of its repetitions."""

    __test__ = False  # no test class, whatever pytest makes of the name

    retval: int
    data_out: bytes
    duration_ns: int
    ctx_out: bytes = b""


class Program(Descriptor):
    """A program in the kernel. `log` is the verifier's, where one was asked for."""

    def __init__(self, spec: ProgramSpec, fd: int, log: str = "") -> None:
        self.spec = spec
        self.name = spec.name
        row = PROGRAM_TYPES.find(spec.type)
        self.type = row.name if row is not None else spec.type
        self.log = log
        super().__init__(fd)

    @property
    def id(self) -> int:
        """The kernel's number for the program."""
        return self.info().id

    def info(self) -> ProgramInfo:
        """Ask the kernel about the program. Raises LoadError."""
        raw = bytearray(_INFO.size)
        self._ask(raw)
        fields = _INFO.unpack(raw)
        ids = bytearray(4 * fields[9])
        if ids:
            again = bytearray(_INFO.size)
            struct.pack_into("=IQ", again, _MAP_IDS, fields[9], syscall.address(ids))
            self._ask(again)
        return ProgramInfo(
            id=fields[1],
            type=PROGRAM_TYPES.name_of(fields[0]),
            name=text_of(fields[11]),
            tag=fields[2].hex(),
            xlated_length=fields[4],
            jited_length=fields[3],
            load_time=fields[7],
            map_ids=struct.unpack(f"={fields[9]}I", ids),
            btf_id=fields[20],
            verified_instructions=fields[-1],
        )

    def xlated(self) -> bytes:
        """Read the instructions as the kernel rewrote them. Empty without the right to see them."""
        code = bytearray(self.info().xlated_length)
        raw = bytearray(_INFO.size)
        struct.pack_into("=I", raw, _XLATED_LENGTH, len(code))
        struct.pack_into("=Q", raw, _XLATED_PLACE, syscall.address(code))
        self._ask(raw)
        (shown,) = struct.unpack_from("=Q", raw, _XLATED_PLACE)
        return bytes(code) if shown else b""

    def _ask(self, raw: bytearray) -> None:
        try:
            object_info(self.fd, raw)
        except OSError as refusal:
            what = f"ask about program {self.name!r}"
            raise refused("load-failed", what, refusal.errno or 0, needs=BPF) from None

    def test_run(
        self,
        data: bytes = b"",
        *,
        repeat: int = 1,
        ctx: bytes | None = None,
        data_out_size: int | None = None,
    ) -> TestRun:
        """Run the program on a frame or context, without attaching it (BPF_PROG_TEST_RUN).

        Newer kernels want the 14 bytes of an Ethernet header at least. The frame that comes
        out may be longer; `data_out_size` is the room for it, by default 4096 bytes more than
        `data`. Raises LoadError, NotSupported for program types that the kernel cannot run so.
        """
        if not 1 <= repeat < 1 << 32:
            raise ValueError(f"repeat is a number from 1, not {repeat}")
        packet = self.type in _PACKET_TYPES
        room = data_out_size if data_out_size is not None else len(data) + _GROWTH * packet
        into, out = bytearray(data), bytearray(room)
        ctx_into, ctx_out = bytearray(ctx or b""), bytearray(len(ctx or b""))
        attributes = bytearray(_TEST_RUN.pack(
            self.fd, 0, len(into), len(out), syscall.address(into), syscall.address(out), repeat, 0,
            len(ctx_into), len(ctx_out), syscall.address(ctx_into), syscall.address(ctx_out),
            0, 0, 0,
        ))  # fmt: skip
        try:
            syscall.bpf(syscall.PROG_TEST_RUN, attributes)
        except OSError as refusal:
            self._test_run_failed(refusal.errno or 0, data, room, attributes)
        fields = _TEST_RUN.unpack(attributes)
        return TestRun(fields[1], bytes(out[: fields[3]]), fields[7], bytes(ctx_out[: fields[9]]))

    def _test_run_failed(self, number: int, data: bytes, room: int, attributes: bytearray) -> None:
        what = f"test-run program {self.name!r}"
        if number in (ENOTSUPP, errno.EOPNOTSUPP):
            raise unsupported(f"a test run of a program of type {self.type}") from None
        why, hint = "", None
        if number == errno.ENOSPC:
            why = f"{_TEST_RUN.unpack(attributes)[3]} bytes came out, and there was room for {room}"
            hint = "give data_out_size"
        elif number == errno.EINVAL and self.type in _PACKET_TYPES and len(data) < _ETHERNET:
            why = f"a frame has at least {_ETHERNET} bytes (an Ethernet header); got {len(data)}"
        needs = rights_for(self.type)
        raise refused("test-run-failed", what, number, why=why, needs=needs, hint=hint) from None

    def attach_xdp(
        self, iface: str | int, mode: Mode = "auto", *, replace: bool = False, via: Via = "auto"
    ) -> Link:
        """Attach to a network interface, by name or index, and return the link.

        `mode` is "native" (in the driver), "generic" (in the stack, for any driver), "offload"
        (on the card) or "auto", which leaves it to the kernel. `via` is "link" for a BPF link,
        "netlink", or "auto": a link where the kernel has them for XDP (5.9). `replace` takes
        the place of a program that was attached without a link; it does not come back.
        Raises LoadError: interface-missing, attach-failed, permission.
        """
        from ebpfasm.runtime.xdp import attach

        return attach(self, iface, mode, replace=replace, via=via)

    def attach(self, target: str | int, **options: Any) -> Link:
        """Attach in the way that is usual for the program's type. Raises NotSupported, LoadError.

        For XDP programs `target` is the interface and the options are those of attach_xdp.
        """
        if self.type != "xdp":
            raise unsupported(
                f"attaching programs of type {self.type or 'unknown'}",
                hint="for now ebpfasm attaches xdp programs",
            )
        return self.attach_xdp(target, **options)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the program a name in a BPF file system, which keeps it loaded. Raises LoadError."""
        pin(self.fd, path, f"program {self.name!r}")

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"fd {self.fd}"
        return f"<Program {self.name!r} {self.type}, {where}>"
