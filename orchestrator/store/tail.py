"""The tail of a kind of stream over all partitions: one blocking read a process, whoever listens."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from orchestrator.store.partitions import Partitions
from orchestrator.store.resp import RedisClient
from orchestrator.store.transitions import store_unavailable

_BLOCK_MS: Final = 2_000
_COUNT: Final = 1_000

Entry = Mapping[bytes, bytes]


async def tail(redis: RedisClient, partitions: Partitions, name: str) -> AsyncIterator[Sequence[Entry]]:
    """Yields the entries that are added to the streams `name` from now on; first an empty list, once it listens.

    Raises:
        TroupeError: STORE_UNAVAILABLE; entries may have been missed when it is called again.
    """
    streams = [f"{partitions.prefix(partition)}:{name}" for partition in partitions.all()]
    try:
        newest = await redis.execute_all([("XREVRANGE", stream, "+", "-", "COUNT", 1) for stream in streams])
        cursors = {stream: rows[0][0] if rows else b"0-0" for stream, rows in zip(streams, newest, strict=True)}
        yield []
        async with redis.blocking(reply_timeout_seconds=2 * _BLOCK_MS / 1000) as connection:
            while True:
                reply = await connection.execute(
                    "XREAD", "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS", *cursors, *cursors.values()
                )
                entries: list[Entry] = []
                for stream, rows in reply or ():
                    cursors[stream.decode()] = rows[-1][0]
                    entries += [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in rows]
                if entries:
                    yield entries
    except OSError as error:
        raise store_unavailable(error) from None
