"""Live things of the running kernel: maps, programs, links and rings.

The folder stands at the top of the checkout and is imported as `ebpfasm.runtime`. This module
imports nothing that only Linux has, so importing it works everywhere; its modules are reached by
their names, as in `ebpfasm.runtime.maps`.
"""

from __future__ import annotations

# A second import under the bare name would make a second copy of every class in here.
if __name__ != "ebpfasm.runtime":
    raise ImportError(f"import ebpfasm.runtime, not {__name__}")
