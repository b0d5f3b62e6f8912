"""Did you mean: the nearest of the names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

# Beyond these a word is no slip, and looking for it would take too long.
_LONGEST = 100  # characters
_MOST = 5000  # names


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """A hint naming the candidate nearest to the word, None where none is near.

    >>> did_you_mean("bpf_map_lokup_elem", ["bpf_map_lookup_elem", "bpf_ktime_get_ns"])
    'did you mean bpf_map_lookup_elem?'
    """
    names = tuple(islice(candidates, _MOST + 1))
    near = _nearest(word, names) if len(word) <= _LONGEST and len(names) <= _MOST else []
    return f"did you mean {near[0]}?" if near else None


@lru_cache(maxsize=256)
def _nearest(word: str, candidates: tuple[str, ...]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(word, candidates, n=1, cutoff=0.6)
