"""The tail of a kind of stream over all partitions: one blocking read a process, whoever listens."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.store.partitions import Partitions
from orchestrator.store.transitions import store_unavailable

_BLOCK_MS: Final = 2_000
_COUNT: Final = 1_000


async def tail(redis: Redis, partitions: Partitions, name: str) -> AsyncIterator[list[Mapping[bytes, bytes]]]:
    """Yields the entries that are added to the streams `name` from now on; first an empty list, once it listens.

    Raises:
        TroupeError: STORE_UNAVAILABLE; entries may have been missed when it is called again.
    """
    try:
        cursors = await _ends(redis, partitions, name)
        yield []
        while True:
            reply: Any = await redis.xread(cursors, count=_COUNT, block=_BLOCK_MS)
            entries: list[Mapping[bytes, bytes]] = []
            for stream, messages in reply.items() if isinstance(reply, dict) else reply or ():
                rows = messages[0] if len(messages) == 1 and isinstance(messages[0], list) else messages
                cursors[stream.decode()] = rows[-1][0]
                entries += [fields for _, fields in rows]
            if entries:
                yield entries
    except (RedisError, OSError) as error:
        raise store_unavailable(error) from None


async def _ends(redis: Redis, partitions: Partitions, name: str) -> dict[Any, Any]:
    streams = [f"{partitions.prefix(partition)}:{name}" for partition in partitions.all()]
    newest: list[Any] = [await redis.xrevrange(stream, count=1) for stream in streams]
    return {stream: rows[0][0] if rows else "0-0" for stream, rows in zip(streams, newest, strict=True)}
