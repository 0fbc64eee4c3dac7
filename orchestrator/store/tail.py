"""The tail of a kind of stream over all partitions: one blocking read a hash slot and process, whoever listens."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from troupe.core.background import stop
from troupe.orchestrator.redis.client import BlockingClient, RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import Key
from troupe.orchestrator.store.transitions import store_unavailable

_BLOCK_MS: Final = 2_000
_COUNT: Final = 1_000

Entry = Mapping[bytes, bytes]


async def tail(redis: RedisClient, partitions: Partitions, key: Key) -> AsyncGenerator[Sequence[Entry], None]:
    """Yields the entries that are added to the streams of a kind from now on; first an empty list, once it listens.

    Raises:
        TroupeError: STORE_UNAVAILABLE; entries may have been missed when it is called again.
    """
    streams = [partitions.key(partition, key) for partition in partitions.all()]
    try:
        newest = await redis.execute_all([("XREVRANGE", stream, "+", "-", "COUNT", 1) for stream in streams])
        cursors = {stream: rows[0][0] if rows else b"0-0" for stream, rows in zip(streams, newest, strict=True)}
        async with AsyncExitStack() as stack:
            readers = []
            for group in await redis.read_groups(streams):
                connection = await stack.enter_async_context(
                    redis.blocking(group[0], reply_timeout_seconds=2 * _BLOCK_MS / 1000)
                )
                readers.append(_Reader(connection, {stream: cursors[stream] for stream in group}))
            yield []
            async with aclosing(_merged(readers)) as merged:
                async for entries in merged:
                    yield entries
    except OSError as error:
        raise store_unavailable(error) from None


class _Reader:
    """Reads on where it stopped, some streams of one slot at a time."""

    def __init__(self, connection: BlockingClient, cursors: dict[str, bytes]) -> None:
        self._connection = connection
        self._cursors = cursors

    def begin(self) -> "asyncio.Future[Any]":
        ids = self._cursors.values()
        return self._connection.send("XREAD", "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS", *self._cursors, *ids)

    def take(self, reply: Any) -> list[Entry]:
        entries: list[Entry] = []
        for stream, rows in reply or ():
            self._cursors[stream.decode()] = rows[-1][0]
            entries += [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in rows]
        return entries


async def _merged(readers: Sequence[_Reader]) -> AsyncGenerator[Sequence[Entry], None]:
    """What the readers read, as it comes; each begins again only when its last entries were taken."""
    reads = {reader.begin(): reader for reader in readers}
    try:
        while True:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            for read in done:
                reader = reads.pop(read)
                entries = reader.take(read.result())
                reads[reader.begin()] = reader
                if entries:
                    yield entries
    finally:
        await stop(*reads)
