"""Log every program that is started, from a ring buffer, with asyncio."""
