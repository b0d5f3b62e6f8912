"""Maps of the virtual machine, with the interface of the live ones."""

from ebpfasm.analysis.vm.maps.make import make
from ebpfasm.analysis.vm.maps.map import VmMap

__all__ = ["VmMap", "make"]
