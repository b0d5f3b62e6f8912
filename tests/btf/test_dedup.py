"""Deduplication and merging, against libbpf's btf__dedup."""

from __future__ import annotations

import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings

from ebpfasm.btf import codec
from ebpfasm.btf.dedup import dedup, merge
from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.renumber import renumbered
from ebpfasm.btf.types import (
    Array,
    Btf,
    BtfType,
    DataSec,
    Enum,
    Enumerator,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    Union,
    Var,
)
from ebpfasm.errors import BtfError
from tests.btf.core_judge import LIBBPF, btf_of, compiled
from tests.btf.core_random import pair
from tests.btf.test_codec import tables
from tests.support import find_tool, missing

INT = Int("int", 4, 32, 1)

# struct node { struct node *next; struct other *other; int number; }, in two ways of writing it
NODE: tuple[BtfType, ...] = (
    INT,
    Ptr(3),
    Struct("node", 24, (Member("next", 2, 0), Member("other", 5, 64), Member("number", 1, 128))),
    Fwd("other"),
    Ptr(4),
)
SAME_NODE: tuple[BtfType, ...] = (
    Struct("other", 4, (Member("x", 3, 0),)),
    Ptr(1),
    INT,
    Struct("node", 24, (Member("next", 5, 0), Member("other", 2, 64), Member("number", 3, 128))),
    Ptr(4),
)


def test_cycles_are_found_alike_and_declarations_find_their_definition() -> None:
    assert merge(Btf(NODE), Btf(SAME_NODE)) == Btf((
        INT,
        Ptr(3),
        Struct("node", 24, (
            Member("next", 2, 0), Member("other", 4, 64), Member("number", 1, 128),
        )),
        Ptr(5),
        Struct("other", 4, (Member("x", 1, 0),)),
    ))  # fmt: skip


def test_the_new_id_of_every_type_is_told() -> None:
    found = dedup(Btf((INT, INT, Ptr(2), Ptr(1), Typedef("p", 4))))
    assert found.btf == Btf((INT, Ptr(1), Typedef("p", 2)))
    assert dict(found.ids) == {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3}


@pytest.mark.parametrize(
    "table",
    [
        (INT, Struct("s", 4, (Member("a", 1, 0),)), Struct("s", 4, (Member("b", 1, 0),))),
        (INT, Struct("s", 4, (Member("a", 1, 0),)), Union("s", 4, (Member("a", 1, 0),))),
        (INT, FuncProto(0, (Param("a", 1),)), FuncProto(0, (Param("b", 1),))),
        (INT, Array(1, 1, 2), Array(1, 1, 3)),
        (INT, Var("x", 1), Var("x", 1), DataSec(".a", 4, (SecVar(2, 0, 4),))),
        (Enum("e", 4, (Enumerator("A", 1),)), Enum("e", 4, (Enumerator("A", 2),))),
        # Two structs of one name, so a declaration may be either.
        (INT, Struct("s", 4, (Member("a", 1, 0),)), Struct("s", 4, ()), Fwd("s"), Ptr(4), Ptr(2)),
        # What they lead to is different only far away.
        (INT, Int("u", 4, 32), Ptr(1), Ptr(2), Ptr(3), Ptr(4), Typedef("t", 5), Typedef("t", 6)),
    ],
    ids=range(8),
)
def test_what_is_different_stays_so(table: tuple[BtfType, ...]) -> None:
    assert dedup(Btf(table)).btf == Btf(table)


def test_a_declared_enumeration_is_its_definition() -> None:
    table = (Enum("e", 4, ()), Ptr(1), Enum("e", 4, (Enumerator("A", 1),)), Ptr(3))
    assert dedup(Btf(table)).btf == Btf((Ptr(2), Enum("e", 4, (Enumerator("A", 1),))))


def test_a_split_btf_takes_up_what_its_base_has() -> None:
    base = BtfIndex(codec.encode(Btf(SAME_NODE)))
    own = Btf(tuple(renumbered(each, lambda old: old + 5 if old else 0) for each in NODE), base)
    own = Btf((*own.types, Typedef("mine", 8)), base)
    found = dedup(own)
    assert found.btf == Btf((Typedef("mine", 4),), base)
    assert found.btf.base is base
    assert [found.ids[each] for each in (6, 7, 8, 9, 10, 11)] == [3, 5, 4, 1, 2, 6]


def test_a_long_chain_takes_no_long_time() -> None:
    names = [Typedef(f"t{number}" if number == 2499 else "t", number) for number in range(5000)]
    assert len(dedup(Btf(tuple(names))).btf) == 5000


@given(tables())
@settings(max_examples=60, deadline=None)
def test_what_is_left_is_left_by_a_second_time_too(table: Btf) -> None:
    once = dedup(table)
    assert dedup(once.btf).btf == once.btf
    for old, new in once.ids.items():
        assert type(once.btf.get(new)) is type(table.get(old)) or isinstance(
            table.get(old), Fwd | Enum
        )


def test_a_type_that_is_not_there_is_an_error() -> None:
    for call in (lambda: dedup(Btf((Ptr(9),))), lambda: merge(Btf((Func("f", 3),)))):
        with pytest.raises(BtfError, match="refers to type"):
            call()


_JUDGE = r"""
#include <bpf/btf.h>
#include <stdio.h>

int main(int count, char **arguments)
{
	struct btf *all = btf__new_empty();
	unsigned int size;

	for (int i = 2; i < count; i++)
		if (btf__add_btf(all, btf__parse(arguments[i], NULL)) < 0)
			return 1;
	if (btf__dedup(all, NULL))
		return 2;
	const void *data = btf__raw_data(all, &size);
	FILE *out = fopen(arguments[1], "w");
	return fwrite(data, size, 1, out) != 1;
}
"""


@cache
def _judge() -> Path:
    program = Path(mkdtemp(prefix="dedup-")) / "judge"
    command = [find_tool("gcc"), "-xc", "-", "-o", str(program), *LIBBPF]
    built = subprocess.run(command, input=_JUDGE, capture_output=True, text=True, check=False)
    if built.returncode:
        missing("libbpf", f"libbpf cannot be used: {built.stderr.splitlines()[0]}")
    return program


SHARED = """
struct node; struct hidden; struct late; union choice; enum state;
typedef unsigned long size_type;
typedef int (*callback)(struct node *node, union choice *choice, ...);
struct list { struct list *next, *prev; };
struct node { struct list list; struct late *late; callback call; size_type sizes[3];
              struct { int a; union { int b; long c; }; }; struct hidden *hidden; };
enum state { ON, OFF = 7 };
"""
UNITS = (
    SHARED + "struct node *one; enum state *state; union choice *choice; struct late *l;",
    SHARED + "struct late { struct node node; enum state state; }; struct late *two;"
    "union choice { int x; struct late *late; }; union choice *choice2; struct list *list2;",
    SHARED + "struct private { struct node *node; float f; }; struct private *three; callback c;",
    "struct node { int another; struct list *list; }; struct list { int x; }; struct node *four;"
    "typedef int number; number *n; const char *const *s;",
)  # fmt: skip


def summary(types: Btf) -> Counter[tuple[str, str]]:
    """How many types of each kind and name there are."""
    return Counter((type(each).__name__, getattr(each, "name", "")) for each in types.types)


def judged(objects: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.btf"
    subprocess.run([_judge(), out, *objects], check=True, timeout=60)
    ours = merge(*(codec.decode(bytes(btf_of(each).raw)) for each in objects))
    assert summary(ours) == summary(codec.decode(out.read_bytes()))
    assert codec.decode(codec.encode(ours)) == ours


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_compile_units_are_merged_as_libbpf_merges_them(tmp_path: Path) -> None:
    judged([compiled(each) for each in UNITS[:3]], tmp_path)
    judged([compiled(UNITS[1]), compiled(UNITS[0]), compiled(UNITS[2])], tmp_path)


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
def test_other_structs_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    judged([compiled(UNITS[3]), compiled(UNITS[1])], tmp_path)


@pytest.mark.tool("clang", "gcc")
@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(3))
def test_random_objects_are_merged_as_libbpf_merges_them(seed: int, tmp_path: Path) -> None:
    texts = [pair(seed).target, pair(seed).target + "struct s1 *again;", pair(seed).local]
    judged([compiled(each, "-w") for each in texts], tmp_path)
