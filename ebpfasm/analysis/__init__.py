"""What a program does: the verifier, which reads the symbolic IR and never changes it."""

from ebpfasm.analysis.verdict import Verdict
from ebpfasm.analysis.verifier import verify

__all__ = ["Verdict", "verify"]
