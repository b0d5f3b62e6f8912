"""struct_ops maps: tables of functions as the running kernel lays them out.

The object has its own idea of the struct; members are found in the kernel's by name. Programs
take the places of function pointers, and are bound to the member that they implement.
"""

from __future__ import annotations

import errno
import struct as packing
from collections.abc import Mapping
from dataclasses import replace

from ebpfasm.btf.core_match import essential, same_kind
from ebpfasm.btf.resolve import plain, size_of
from ebpfasm.btf.types import FuncProto, Member, Ptr, Struct
from ebpfasm.errors import BtfError, LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.references import FunctionRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.runtime.loading.kernel_symbols import KernelType, KernelTypes
from ebpfasm.runtime.loading.targets import Target

_VALUE_PREFIX = "bpf_struct_ops_"  # of the kernel's types that wrap the struct in a map's value
_POINTER = packing.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Place:
    """A program's place in the table."""

    program: str
    offset: int
    index: int


@dataclass(frozen=True, slots=True)
class Table:
    """A struct_ops map as the kernel takes it.

    `spec` has the kernel's value size, `value_type` is the type of that value, `struct` the one
    inside. `value` are the bytes without the programs, which come where `members` say.
    """

    spec: MapSpec
    value_type: Target
    struct: Target
    value: bytes
    members: tuple[Place, ...]

    def filled(self, fds: Mapping[str, int]) -> bytes:
        """The value with the programs' descriptors, as the map is to be updated with."""
        value = bytearray(self.value)
        for each in self.members:
            if each.program in fds:
                _POINTER.pack_into(value, each.offset, fds[each.program])
        return bytes(value)


def laid_out(spec: MapSpec, kernel: KernelTypes) -> Table:
    """Find a map's types in the kernel and lay its value out by them.

    Raises LoadError of the code "load-target" where the kernel has no such table, or a member
    of it that is set here, or another kind of member.
    """
    ours = spec.types.btf.get(spec.types.value) if spec.types is not None else None
    if spec.types is None or not isinstance(ours, Struct):
        raise _cannot(spec, "its types are not known")
    name = essential(ours.name)
    value_type = kernel.find(Struct, _VALUE_PREFIX + name)
    if value_type is None:
        raise _cannot(spec, f"the kernel has no struct_ops table of type {name!r}")
    found = value_type.types.find(Struct, name)
    wrapper = value_type.types.get(value_type.id)
    assert isinstance(wrapper, Struct)
    data = next((each for each in wrapper.members if each.type in found), None)
    if data is None:
        raise _cannot(spec, f"the kernel's {wrapper.name} holds no {name!r}")
    layout = _Layout(spec, ours, value_type, data)
    value = bytearray(wrapper.size)
    members = tuple(layout.fill(value))
    return Table(
        replace(spec, value_size=wrapper.size, max_entries=1),
        Target(value_type.id, value_type.fd),
        Target(data.type, value_type.fd),
        bytes(value),
        members,
    )


class _Layout:
    """The members of one table, ours and the kernel's."""

    def __init__(self, spec: MapSpec, ours: Struct, value_type: KernelType, data: Member) -> None:
        assert spec.types is not None
        self._spec, self._ours, self._local = spec, ours, spec.types.btf
        self._kernel = value_type.types
        self._begin = data.offset_bits // 8
        theirs = self._kernel.get(data.type)
        assert isinstance(theirs, Struct)
        self._theirs = {each.name: (index, each) for index, each in enumerate(theirs.members)}
        self._contents = bytes(spec.contents).ljust(ours.size, b"\0")

    def fill(self, value: bytearray) -> list[Place]:
        """Copy what the object sets into the value; where its programs belong."""
        programs = []
        for member in self._ours.members:
            at = member.offset_bits // 8
            size = size_of(self._local, member.type)
            content = self._contents[at : at + size]
            program = self._spec.initial.get(at)
            place = self._theirs.get(member.name)
            if place is None:
                if any(content) or program is not None:
                    raise _cannot(self._spec, f"the kernel's has no member {member.name!r}")
                continue
            index, theirs = place
            self._check(member, theirs)
            there = self._begin + theirs.offset_bits // 8
            if isinstance(program, FunctionRef):
                programs.append(Place(program.name, there, index))
            elif not self._is_pointer(member):
                self._check_size(member, theirs, size)
                value[there : there + size] = content
        return programs

    def _is_pointer(self, member: Member) -> bool:
        return isinstance(plain(self._local, member.type)[1], Ptr)

    def _check(self, ours: Member, theirs: Member) -> None:
        if ours.bitfield_size or theirs.bitfield_size:
            raise _cannot(self._spec, f"member {ours.name!r} is a bit-field")
        mine = plain(self._local, ours.type)[1]
        kernels = plain(self._kernel, theirs.type)[1]
        alike = same_kind(mine, kernels)
        if alike and isinstance(kernels, Ptr) and self._spec.initial.get(ours.offset_bits // 8):
            alike = isinstance(plain(self._kernel, kernels.type)[1], FuncProto)
        if not alike:
            raise _cannot(self._spec, f"member {ours.name!r} has another type in the kernel")

    def _check_size(self, ours: Member, theirs: Member, size: int) -> None:
        try:
            kernels = size_of(self._kernel, theirs.type)
        except BtfError:
            kernels = 0
        if kernels != size:
            message = f"member {ours.name!r} has {kernels} bytes in the kernel, not {size}"
            raise _cannot(self._spec, message)


def _cannot(spec: MapSpec, why: str) -> LoadError:
    message = f"map {spec.name!r}: {why}"
    return LoadError(error("load-target", message, spec.span), errno=errno.ESRCH)
