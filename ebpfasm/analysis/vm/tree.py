"""A red-black tree of addresses, of the shape that the kernel's lib/rbtree.c gives one.

Programs can see the shape (bpf_rbtree_root, bpf_rbtree_left), and in which order an insertion
asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Less = Callable[[int, int], bool]


@dataclass(slots=True, eq=False)
class Node:
    """A node of the tree: what stands in it, and its neighbours."""

    item: int
    parent: Node | None = None
    left: Node | None = None
    right: Node | None = None
    red: bool = True


class Tree:
    """Items in an order that the caller knows."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.nodes: dict[int, Node] = {}

    def first(self) -> Node | None:
        """The leftmost node."""
        return None if self.root is None else _leftmost(self.root)

    def add(self, item: int, less: Less) -> None:
        """Put an item in, behind those that it is not less than."""
        parent, at, left = None, self.root, False
        while at is not None:
            parent, left = at, less(item, at.item)
            at = at.left if left else at.right
        node = self.nodes[item] = Node(item, parent)
        if parent is None:
            self.root = node
        elif left:
            parent.left = node
        else:
            parent.right = node
        self._after_insertion(node)

    def remove(self, item: int) -> None:
        """Take an item out that is there."""
        node = self.nodes.pop(item)
        if node.left is not None and node.right is not None:
            self._change_places(node, _leftmost(node.right))
        child, parent = node.left or node.right, node.parent
        self._put_in_place(node, child)
        if child is not None:
            child.parent = parent
            child.red = False
        elif not node.red:
            self._after_removal(parent)

    def _put_in_place(self, node: Node, other: Node | None) -> None:
        """Let a node's parent have another child instead."""
        if node.parent is None:
            self.root = other
        elif node.parent.left is node:
            node.parent.left = other
        else:
            node.parent.right = other

    def _change_places(self, node: Node, next: Node) -> None:
        """Let a node and the next one in order change places; the next has no left child."""
        right, up = next.right, next.parent
        direct = up is node
        self._put_in_place(node, next)
        next.parent, next.left = node.parent, node.left
        if next.left is not None:
            next.left.parent = next
        if direct:
            next.right, node.parent = node, next
        else:
            assert up is not None
            next.right = node.right
            assert next.right is not None
            next.right.parent = next
            up.left, node.parent = node, up
        node.left, node.right = None, right
        if right is not None:
            right.parent = node
        node.red, next.red = next.red, node.red

    def _rotate(self, node: Node, *, left: bool) -> None:
        other = node.right if left else node.left
        assert other is not None
        middle = other.left if left else other.right
        if left:
            node.right, other.left = middle, node
        else:
            node.left, other.right = middle, node
        if middle is not None:
            middle.parent = node
        self._put_in_place(node, other)
        other.parent, node.parent = node.parent, other

    def _after_insertion(self, node: Node) -> None:
        while (parent := node.parent) is not None and parent.red:
            above = parent.parent
            assert above is not None  # the root is black
            on_left = parent is above.left
            uncle = above.right if on_left else above.left
            if uncle is not None and uncle.red:
                parent.red = uncle.red = False
                above.red = True
                node = above
                continue
            if node is (parent.right if on_left else parent.left):
                self._rotate(parent, left=on_left)
                node, parent = parent, node
            parent.red, above.red = False, True
            self._rotate(above, left=not on_left)
        assert self.root is not None
        self.root.red = False

    def _after_removal(self, parent: Node | None) -> None:
        """Make up for the black node that is missing below a parent, where a leaf is now."""
        node: Node | None = None
        while parent is not None and (node is None or not node.red):
            on_left = parent.left is node
            sibling = parent.right if on_left else parent.left
            assert sibling is not None
            if sibling.red:
                sibling.red, parent.red = False, True
                self._rotate(parent, left=on_left)
                continue
            near = sibling.left if on_left else sibling.right
            far = sibling.right if on_left else sibling.left
            if not _is_red(near) and not _is_red(far):
                sibling.red = True
                node, parent = parent, parent.parent
                continue
            if not _is_red(far):
                assert near is not None
                near.red, sibling.red = False, True
                self._rotate(sibling, left=not on_left)
                sibling, far = near, sibling
            assert far is not None
            sibling.red, parent.red, far.red = parent.red, False, False
            self._rotate(parent, left=on_left)
            return
        if node is not None:
            node.red = False


def _leftmost(node: Node) -> Node:
    while node.left is not None:
        node = node.left
    return node


def _is_red(node: Node | None) -> bool:
    return node is not None and node.red
