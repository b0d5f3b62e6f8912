"""The kernel functions that the machine has, by name."""

from __future__ import annotations

from collections.abc import Callable

Function = Callable[..., int]

KFUNCS: dict[str, tuple[Function, int]] = {}  # by name: the function and its registers


def kfunc(name: str, arity: int) -> Callable[[Function], Function]:
    """Enter a function for the kernel function of this name, with so many parameters."""

    def enter(function: Function) -> Function:
        KFUNCS[name] = function, arity
        return function

    return enter
