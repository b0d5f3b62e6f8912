"""Did you mean: the nearest of the names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """A hint naming the candidate nearest to the word, None where none is near.

    >>> did_you_mean("bpf_map_lokup_elem", ["bpf_map_lookup_elem", "bpf_ktime_get_ns"])
    'did you mean bpf_map_lookup_elem?'
    """
    from difflib import get_close_matches

    near = get_close_matches(word, candidates, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None
