"""What one load opened: programs and maps by name, closed together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.programs import Program


class Collection:
    """Loaded programs and their maps. Closing gives their descriptors back.

    The kernel keeps what is still in use: an attached program goes on, with its maps, until
    its link is detached.
    """

    def __init__(self, programs: Mapping[str, Program], maps: Mapping[str, Map]) -> None:
        self.programs: Mapping[str, Program] = MappingProxyType(dict(programs))
        self.maps: Mapping[str, Map] = MappingProxyType(dict(maps))

    def close(self) -> None:
        """Close every program and map."""
        for each in (*self.programs.values(), *self.maps.values()):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Collection of programs {list(self.programs)} and maps {list(self.maps)}>"
