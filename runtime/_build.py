"""Describes the native core to the build: every C file in `native/`, as one stable-ABI extension.

The build runs this file by its path before the package exists, from the folder of setup.py, so it
may import cffi and pathlib and nothing else. The headers in `native/api/` are read twice: by cffi,
which knows no preprocessor, and through `native/native.h` by the C compiler.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

NATIVE = Path("runtime", "native")  # setuptools wants sources relative to setup.py
HERE = Path(__file__).resolve().parent / "native"

ffi = FFI()
for header in sorted((HERE / "api").glob("*.h")):
    ffi.cdef(header.read_text(encoding="utf-8"))
ffi.set_source(
    "ebpfasm._native",
    '#include "native.h"\n',
    sources=[str(NATIVE / path.relative_to(HERE)) for path in sorted(HERE.rglob("*.c"))],
    depends=[str(NATIVE / path.relative_to(HERE)) for path in sorted(HERE.rglob("*.h"))],
    include_dirs=[str(NATIVE)],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    py_limited_api=True,
    optional=True,  # without a compiler everything but rings works on the Python path
)
