"""Waiting in asyncio."""

from __future__ import annotations

import asyncio


async def readable(fd: int, timeout: float) -> bool:
    """Wait until a descriptor is readable: False when the time is over first."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(fd, arrive)
    try:
        await asyncio.wait([came], timeout=timeout)
    finally:
        loop.remove_reader(fd)
    return came.done()
