"""Three ways through a map: its items, arrays of them, and an iterator of one's own."""

from __future__ import annotations

from ebpfasm import Map, MapSpec
from examples import stage

SPEC = MapSpec("numbers", "array", 4, 8, 11, key="u32", value="u64")


def main() -> None:
    """Print the same eleven items three times."""
    parser = stage.bare_parser(__doc__)
    options = parser.parse_args()
    with Map.create(SPEC) as numbers:
        for key in range(1, 11):
            numbers[key] = 10 * key

        def show(way: str, key: int, value: int) -> None:
            stage.say(options, f"{way:<9} {key:>2} -> {value}", way=way, key=key, value=value)

        for key, value in numbers.items():  # a dictionary's loop; batches underneath
            show("items", key, value)
        keys, values = numbers.items_array()  # numpy arrays, without an object an item
        for key, value in zip(keys.tolist(), values.tolist(), strict=True):
            show("arrays", key, value)
        walk = iter(numbers)  # keys alone, as far as one likes
        while (here := next(walk, None)) is not None:
            show("iterator", here, numbers[here])


if __name__ == "__main__":
    stage.guarded(main)
