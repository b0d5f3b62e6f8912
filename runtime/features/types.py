"""Kinds of BTF: a type of each is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ebpfasm.btf import types as t
from ebpfasm.btf.types import Btf, BtfType
from ebpfasm.runtime.features.answer import Answer, name_of, not_allowed
from ebpfasm.runtime.features.maps import btf_loaded

_INT = t.Int("int", 4, 32, 1)


def _kinds() -> dict[str, tuple[str, tuple[BtfType, ...]]]:
    """The first Linux and an example of each kind (Documentation/bpf/btf.rst; git history)."""
    member = (t.Member("a", 1, 0),)
    void = t.FuncProto(0, (t.Param("a", 1),))
    variable = t.Var("v", 1, t.VarLinkage.STATIC)
    section = t.SecVar(2, 0, 4)
    return {
        "int": ("4.18", (_INT,)),
        "ptr": ("4.18", (_INT, t.Ptr(1))),
        "array": ("4.18", (_INT, t.Array(1, 1, 2))),
        "struct": ("4.18", (_INT, t.Struct("s", 4, member))),
        "union": ("4.18", (_INT, t.Union("u", 4, member))),
        "enum": ("4.18", (t.Enum("e", 4, (t.Enumerator("A", 1),)),)),
        "fwd": ("4.18", (t.Fwd("f"),)),
        "typedef": ("4.18", (_INT, t.Typedef("d", 1))),
        "volatile": ("4.18", (_INT, t.Volatile(1))),
        "const": ("4.18", (_INT, t.Const(1))),
        "restrict": ("4.18", (_INT, t.Ptr(1), t.Restrict(2))),
        "func": ("5.0", (_INT, void, t.Func("f", 2))),
        "func_proto": ("5.0", (_INT, void)),
        "var": ("5.2", (_INT, variable)),
        "datasec": ("5.2", (_INT, variable, t.DataSec(".data", 4, (section,)))),
        "float": ("5.13", (t.Float("float", 4),)),
        "decl_tag": ("5.16", (_INT, variable, t.DeclTag("tag", 2))),
        "type_tag": ("5.17", (_INT, t.TypeTag("tag", 1), t.Ptr(2))),
        "enum64": ("6.0", (t.Enum64("e", 8, (t.Enumerator("A", 1 << 40),)),)),
        "func_global": ("5.6", (_INT, void, t.Func("f", 2, t.FuncLinkage.GLOBAL))),
    }  # fmt: skip


KINDS: Mapping[str, tuple[str, tuple[BtfType, ...]]] = MappingProxyType(_kinds())


def btf_kind(name: str) -> Answer:
    """Whether the kernel takes BTF with a kind ("func_global": a function of global linkage)."""
    since, example = KINDS[name]
    with btf_loaded(Btf(example)) as (attempt, _):
        if attempt.done:
            return Answer(True, "a type of it was loaded", since)
        said = f": {attempt.reason}" if attempt.reason else ""
        evidence = f"loading one answers {name_of(attempt.errno)}{said}"
        return Answer(None if not_allowed(attempt.errno) else False, evidence, since)
