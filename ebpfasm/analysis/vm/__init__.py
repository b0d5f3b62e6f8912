"""The virtual machine: runs programs with no kernel and no rights, and says where they go wrong.

`reference.Interpreter` is the engine that defines what is right; ebpfasm.runtime.vm has the fast
one. `VirtualMachine` is what users have.
"""

from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.network import Interface, Network, Route, Transform, Tunnel
from ebpfasm.analysis.vm.objects import Area, Cgroup, File, Inode, Path, Socket, Task
from ebpfasm.analysis.vm.reference import Interpreter
from ebpfasm.analysis.vm.result import RunResult
from ebpfasm.analysis.vm.virtual import VirtualMachine
from ebpfasm.analysis.vm.world import Event, Sysctl, World

__all__ = [
    "Area",
    "Cgroup",
    "Event",
    "File",
    "Inode",
    "Interface",
    "Interpreter",
    "Machine",
    "Network",
    "Path",
    "Route",
    "RunResult",
    "Socket",
    "Sysctl",
    "Task",
    "Transform",
    "Tunnel",
    "VirtualMachine",
    "World",
    "describe",
]
