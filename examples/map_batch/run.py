"""Read, write and delete many items with one system call."""

from __future__ import annotations

from ebpfasm import LoadError, Map, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from examples import stage

EXIST = CONSTANTS["BPF_EXIST"]
SPEC = MapSpec("numbers", "hash", 4, 8, 5, key="u32", value="u64")


def main() -> None:
    """Five blocks: one by one, and then in batches."""
    parser = stage.bare_parser(__doc__)
    options = parser.parse_args()
    with Map.create(SPEC) as numbers:

        def show(what: str) -> None:
            items = dict(sorted(numbers.items()))
            stage.say(options, f"{what:<38} {items}", step=what, items=items)

        for key in range(1, 6):
            numbers[key] = 10 * key
        show("set one by one")
        keys, values = numbers.items_array()
        stage.say(options, f"{'as arrays':<38} {keys} {values}", keys=keys.tolist(),
                  values=values.tolist())  # fmt: skip
        deleted = numbers.delete_batch(keys)
        show(f"deleted {deleted} in a batch")
        numbers.update_batch(keys, values)
        show("added in a batch")
        numbers.update_batch(keys, values + 100, EXIST)
        show("replaced in a batch: each 100 more")
        try:
            numbers.update_batch([6], [60], EXIST)
        except LoadError as refusal:
            stage.say(options, f"6 is not there to be replaced: {refusal.diagnostics[0].message}",
                      refused=refusal.diagnostics[0].message)  # fmt: skip


if __name__ == "__main__":
    stage.guarded(main)
