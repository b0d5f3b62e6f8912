"""The native core: C functions over plain buffers, declared in runtime/native/api/.

It is the ground floor: a room that wants speed calls it through one thin wrapper of its own,
and works without it.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any


def native_core() -> Any | None:
    """The extension module, with `lib` and `ffi`; None where it is not built or not wanted.

    `EBPFASM_NO_NATIVE=1` makes everything do without it.
    """
    if os.environ.get("EBPFASM_NO_NATIVE", "0") not in ("", "0"):
        return None
    return _extension()


@cache
def _extension() -> Any | None:
    try:
        from ebpfasm import _native
    except ImportError:
        return None
    return _native


def native_objects() -> Any | None:
    """The part of the extension that makes Python objects itself; None as for `native_core`."""
    core = native_core()
    return None if core is None else _objects(core.__file__)


@cache
def _objects(path: str) -> Any:
    # One file may hold several modules: the loader looks for the one by its name.
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    loader = ExtensionFileLoader("ebpfasm._objects", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def text_of(function: Any) -> str:
    """What a method in C that stands for one in Python has as its text: help() reads it."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = dict(zip(names[code.co_argcount - len(defaults) :], defaults, strict=False))
    values.update(function.__kwdefaults__ or {})
    shown = [f"{name}={values[name]!r}" if name in values else name for name in names]
    shown[0] = f"${shown[0]}"
    if code.co_kwonlyargcount:
        shown.insert(code.co_argcount, "*")
    return f"{function.__name__}({', '.join(shown)})\n--\n\n{function.__doc__}"
