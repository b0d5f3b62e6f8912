"""The native core: C functions over plain buffers, declared in runtime/native/api/.

It is the ground floor: a room that wants speed calls it through one thin wrapper of its own,
and works without it.
"""

from __future__ import annotations

import os
from typing import Any


def native_core() -> Any | None:
    """The extension module, with `lib` and `ffi`; None where it is not built or not wanted.

    `EBPFASM_NO_NATIVE=1` makes everything do without it.
    """
    if os.environ.get("EBPFASM_NO_NATIVE", "0") not in ("", "0"):
        return None
    try:
        from ebpfasm import _native
    except ImportError:
        return None
    return _native
