"""Where the user's Python file called the builder."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from ebpfasm.errors import LineSpan

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Call(NamedTuple):
    """The builder method that the user called, and the line of the call."""

    method: str
    span: LineSpan


def called() -> Call:
    """Find the user's call on the stack: the first frame that is outside this room.

    A walk of two or three frames and no reading of files, so that every instruction can
    afford it.
    """
    inner = sys._getframe(1)
    outer = inner.f_back
    while outer is not None and outer.f_code.co_filename.startswith(_HERE):
        inner, outer = outer, outer.f_back
    frame = outer or inner
    return Call(inner.f_code.co_name, LineSpan(frame.f_code.co_filename, frame.f_lineno))
