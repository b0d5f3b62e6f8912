"""Objects that programs make, and the lists and trees that hold them.

An object is memory of its own, freed with its last reference. A reference belongs to the program
(bpf_obj_new, bpf_refcount_acquire, what it takes out of a list or tree), to a list, a tree, or a
map's value (bpf_kptr_xchg). What a program has not given away when it exits is lost, and a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.kfunc_table import Function, kfunc
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.tree import Node, Tree
from ebpfasm.errors import BtfError

U32 = (1 << 32) - 1
_HEAD, _ROOT, _NODE = 16, 16, 24  # bytes of bpf_list_head, bpf_rb_root; at least, of a node


@dataclass(slots=True)
class Made:
    """An object: its memory, how many references there are, how many the program has itself."""

    region: Region
    references: int = 1
    own: int = 1


@dataclass(slots=True)
class Graph:
    """All objects of a world by the number of their region, and what holds them.

    `lists` and `trees` are by the address of their head or root; `holder` has it for each node.
    """

    made: dict[int, Made] = field(default_factory=dict)
    lists: dict[int, list[int]] = field(default_factory=dict)
    trees: dict[int, Tree] = field(default_factory=dict)
    holder: dict[int, int] = field(default_factory=dict)


def graph_of(machine: Machine) -> Graph:
    """The objects of a machine's world."""
    graph = machine.world.graph
    if graph is None:
        graph = machine.world.graph = Graph()
    return graph


def check_all_given_away(graph: Graph, machine: Machine) -> None:
    """Raise Fault where the program still has a reference of its own."""
    for each in graph.made.values():
        if each.own:
            where = describe(machine.memory, each.region.address)
            hint = "drop it by bpf_obj_drop, or put it into a list, a tree or a map"
            raise Fault("vm-helper", f"exits with {where} not given away", hint)


def forget_own(graph: Graph, machine: Machine) -> None:
    """Take away what a program that was stopped still had."""
    for each in list(graph.made.values()):
        while each.own:
            _lose(machine, each)


def exchanged(graph: Graph, machine: Machine, given: int, taken: int) -> None:
    """A map's value has a reference that was the program's, and the program what was there."""
    for address, change in ((given, -1), (taken, 1)):
        region = machine.memory.find(address)
        found = graph.made.get(region.number) if region is not None else None
        if found is not None:
            found.own += change


def _object(machine: Machine, address: int, verb: str, *, owned: bool) -> Made:
    region = machine.memory.find(address)
    found = graph_of(machine).made.get(region.number) if region is not None else None
    if found is None or region is None or region.place(address, 1) is None:
        where = describe(machine.memory, address)
        raise Fault("vm-helper", f"{verb} {where}, which is no object that bpf_obj_new made")
    if owned and not found.own:
        where = describe(machine.memory, address)
        raise Fault("vm-helper", f"{verb} {where}, which the program has given away")
    return found


def _lose(machine: Machine, found: Made) -> None:
    """One of the program's references is gone, and the object with the last one."""
    found.own -= 1
    found.references -= 1
    if not found.references:
        del graph_of(machine).made[found.region.number]
        machine.memory.free(found.region)


def _locked(machine: Machine, place: int, size: int) -> None:
    machine.memory.view(place, size, write=True)
    if not machine.lock:
        where = describe(machine.memory, place)
        hint = "take the bpf_spin_lock that lies beside it first"
        raise Fault("vm-lock", f"uses {where} while no lock is held", hint)


def _enter(name: str, arity: int, function: Function) -> None:
    """Kernels before 7.0 have the functions with hidden arguments under another name."""
    for each in (f"bpf_{name}", f"bpf_{name}_impl"):
        kfunc(each, arity)(function)


# ---- objects


def obj_new(machine: Machine, type_id: int) -> int:
    """Make an object of one of the program's types, all zeros; a kernel's may hold old bytes."""
    from ebpfasm.btf.resolve import size_of  # what reads BTF is not for every system

    debug = machine.linked.program.debug
    if debug is None:
        raise Fault("not-supported", "makes an object of a type, and the program has no BTF")
    types = debug.object.btf
    try:
        kind, size = types.get(type_id), size_of(types, type_id)
    except BtfError as problem:
        raise Fault("vm-helper", f"makes an object of type {type_id}: {problem}") from None
    name = f"struct {getattr(kind, 'name', '') or type_id}"
    region = machine.memory.add("object", name, bytearray(size), owner=machine)
    graph_of(machine).made[region.number] = Made(region)
    return region.address


def obj_drop(machine: Machine, address: int) -> int:
    """Give a reference up."""
    _lose(machine, _object(machine, address, "drops", owned=True))
    return 0


def refcount_acquire(machine: Machine, address: int) -> int:
    """Take one more reference to an object; the program may do so while it is in a list."""
    found = _object(machine, address, "acquires", owned=False)
    found.own += 1
    found.references += 1
    return address


_enter("obj_new", 1, obj_new)
_enter("obj_drop", 1, obj_drop)
_enter("refcount_acquire", 1, refcount_acquire)


# ---- lists and trees


def _take_in(machine: Machine, holder: int, node: int) -> bool:
    """Give a node to a list or tree; whether that can be. One that is in some already is lost."""
    found = _object(machine, node, "adds", owned=True)
    machine.memory.view(node, _NODE, write=True)
    graph = graph_of(machine)
    if node in graph.holder:
        _lose(machine, found)
        return False
    found.own -= 1
    graph.holder[node] = holder
    return True


def _take_out(machine: Machine, node: int) -> int:
    """Give the program back what was held."""
    graph = graph_of(machine)
    del graph.holder[node]
    _object(machine, node, "takes", owned=False).own += 1
    return node


def _push(machine: Machine, head: int, node: int, *, front: bool) -> int:
    _locked(machine, head, _HEAD)
    if not _take_in(machine, head, node):
        return -errno.EINVAL
    row = graph_of(machine).lists.setdefault(head, [])
    row.insert(0 if front else len(row), node)
    return 0


def _pop(machine: Machine, head: int, *, front: bool) -> int:
    _locked(machine, head, _HEAD)
    row = graph_of(machine).lists.get(head)
    return _take_out(machine, row.pop(0 if front else -1)) if row else 0


def _peek(machine: Machine, head: int, *, front: bool) -> int:
    _locked(machine, head, _HEAD)
    row = graph_of(machine).lists.get(head)
    return row[0 if front else -1] if row else 0


def list_push_front(machine: Machine, head: int, node: int) -> int:
    """Put an object at the front."""
    return _push(machine, head, node, front=True)


def list_push_back(machine: Machine, head: int, node: int) -> int:
    """Put an object at the back."""
    return _push(machine, head, node, front=False)


_enter("list_push_front", 2, list_push_front)
_enter("list_push_back", 2, list_push_back)


@kfunc("bpf_list_pop_front", 1)
def list_pop_front(machine: Machine, head: int) -> int:
    """Take the first object's node out, null where there is none."""
    return _pop(machine, head, front=True)


@kfunc("bpf_list_pop_back", 1)
def list_pop_back(machine: Machine, head: int) -> int:
    """Take the last object's node out."""
    return _pop(machine, head, front=False)


@kfunc("bpf_list_front", 1)
def list_front(machine: Machine, head: int) -> int:
    """The first object's node, which stays where it is."""
    return _peek(machine, head, front=True)


@kfunc("bpf_list_back", 1)
def list_back(machine: Machine, head: int) -> int:
    """The last object's node."""
    return _peek(machine, head, front=False)


def rbtree_add(machine: Machine, root: int, node: int, callback: int) -> int:
    """Put an object into a tree, where the callback says that it belongs."""
    _locked(machine, root, _ROOT)
    machine.function_at(callback)
    if not _take_in(machine, root, node):
        return -errno.EINVAL
    engine = machine.engine
    assert engine is not None

    def less(one: int, other: int) -> bool:
        return engine.call(callback, one, other, 0, 0, 0) & 1 == 1

    graph_of(machine).trees.setdefault(root, Tree()).add(node, less)
    return 0


_enter("rbtree_add", 3, rbtree_add)


@kfunc("bpf_rbtree_remove", 2)
def rbtree_remove(machine: Machine, root: int, node: int) -> int:
    """Take an object out of a tree, null where it is not in that one."""
    _locked(machine, root, _ROOT)
    graph = graph_of(machine)
    if graph.holder.get(node) != root or root not in graph.trees:
        return 0
    graph.trees[root].remove(node)
    return _take_out(machine, node)


def _item(node: Node | None) -> int:
    return 0 if node is None else node.item


@kfunc("bpf_rbtree_first", 1)
def rbtree_first(machine: Machine, root: int) -> int:
    """The least object's node."""
    _locked(machine, root, _ROOT)
    tree = graph_of(machine).trees.get(root)
    return 0 if tree is None else _item(tree.first())


@kfunc("bpf_rbtree_root", 1)
def rbtree_root(machine: Machine, root: int) -> int:
    """The node at the top."""
    _locked(machine, root, _ROOT)
    tree = graph_of(machine).trees.get(root)
    return 0 if tree is None else _item(tree.root)


def _beside(machine: Machine, root: int, node: int, *, left: bool) -> int:
    _locked(machine, root, _ROOT)
    graph = graph_of(machine)
    if graph.holder.get(node) != root or root not in graph.trees:
        return 0
    found = graph.trees[root].nodes[node]
    return _item(found.left if left else found.right)


@kfunc("bpf_rbtree_left", 2)
def rbtree_left(machine: Machine, root: int, node: int) -> int:
    """The node below to the left."""
    return _beside(machine, root, node, left=True)


@kfunc("bpf_rbtree_right", 2)
def rbtree_right(machine: Machine, root: int, node: int) -> int:
    """The node below to the right."""
    return _beside(machine, root, node, left=False)
