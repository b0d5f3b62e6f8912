"""What a program is: instructions with names in them, specs, control flow, and the linker.

This room knows no text, no file format and no kernel.
"""

from ebpfasm.ir.instruction import (
    Instruction,
    Item,
    Label,
    decode,
    instruction,
    instructions_of,
)
from ebpfasm.ir.lift import lift
from ebpfasm.ir.link import LinkedFunction, LinkedProgram, link
from ebpfasm.ir.references import (
    CoreRef,
    FunctionRef,
    KfuncRef,
    KsymRef,
    LabelRef,
    MapRef,
    PlaceRef,
    Reference,
    VarRef,
)
from ebpfasm.ir.specs import (
    CollectionSpec,
    Function,
    MapSpec,
    ProgramSpec,
    VarSpec,
    collect,
    reachable,
)

__all__ = [
    "CollectionSpec",
    "CoreRef",
    "Function",
    "FunctionRef",
    "Instruction",
    "Item",
    "KfuncRef",
    "KsymRef",
    "Label",
    "LabelRef",
    "LinkedFunction",
    "LinkedProgram",
    "MapRef",
    "MapSpec",
    "PlaceRef",
    "ProgramSpec",
    "Reference",
    "VarRef",
    "VarSpec",
    "collect",
    "decode",
    "instruction",
    "instructions_of",
    "lift",
    "link",
    "reachable",
]
