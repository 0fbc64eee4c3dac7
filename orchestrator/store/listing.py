"""Which tasks a project has, newest first: the index of every partition, merged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import chain
from typing import Final

from troupe.orchestrator.redis.client import Command, RedisClient

Cursor = tuple[int, str]
"""Creation time in ms and id of a task: a place in lists."""

# What a partition is asked for beyond twice its even share of a page.
_SLACK: Final = 8


@dataclass(slots=True)
class _Index:
    """One partition's index, as far as it was read: `rows` come next, and `last` was the last one read."""

    key: str
    last: Cursor | None
    rows: list[Cursor] = field(default_factory=list)
    count: int = 0
    ended: bool = False

    def command(self, count: int) -> Command:
        """Reads on. What has the same millisecond as `last` comes again, since ranges know scores only."""
        self.count = max(self.count, count)
        newest = "+inf" if self.last is None else self.last[0]
        return ("ZREVRANGEBYSCORE", self.key, newest, "-inf", "WITHSCORES", "LIMIT", 0, self.count)

    def add(self, flat: Sequence[bytes]) -> None:
        """Takes what the command found."""
        found = [(int(score), task_id.decode()) for task_id, score in zip(flat[::2], flat[1::2], strict=True)]
        new = [row for row in found if self.last is None or row < self.last]
        self.ended = len(found) < self.count
        self.rows += new
        if new:
            self.last = new[-1]
        else:  # more tasks of one millisecond than were asked for
            self.count *= 2


class Listing:
    """Reads places from the indexes of a project, newest first."""

    def __init__(self, redis: RedisClient, keys: Sequence[str], before: Cursor | None) -> None:
        """`keys` are the indexes; `before` is where reading begins, itself left out."""
        self._redis = redis
        self._indexes = [_Index(key, before) for key in keys]

    async def next(self, count: int) -> Sequence[Cursor]:
        """The next so many places; fewer at the end.

        Raises:
            OSError: Redis does not answer.
        """
        share = min(count, 2 * count // len(self._indexes) + _SLACK)
        while True:
            rows = nlargest(count, chain.from_iterable(index.rows for index in self._indexes))
            oldest = rows[-1] if len(rows) == count else (-1, "")
            behind = [index for index in self._indexes if not index.ended and _may_hold_newer(index, oldest)]
            if not behind:
                break
            for index, flat in zip(
                behind, await self._redis.execute_all([index.command(share) for index in behind]), strict=True
            ):
                index.add(flat)
        for index in self._indexes:
            index.rows = [row for row in index.rows if row < oldest]
        return rows


def _may_hold_newer(index: _Index, place: Cursor) -> bool:
    """Whether what was not read of an index may stand before a place."""
    return not index.rows or index.rows[-1] > place
