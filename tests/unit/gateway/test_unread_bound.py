"""How much all clients together may leave unread."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import ClassVar

import pytest

from troupe.gateway.downstream.open_connections import Unread
from troupe.gateway.downstream.unread_bound import FREE_BYTES, UnreadBound

KIB = 1 << 10


class Connection:
    """Some responses wait; those given up are noted."""

    version: ClassVar[str] = "2"
    closed: "asyncio.Future[None]"

    def __init__(self, sizes: Sequence[int], gone: list[int]) -> None:
        self._sizes = sizes
        self._gone = gone

    def unread(self) -> Iterable[Unread]:
        return [Unread(size, lambda size=size: self._gone.append(size)) for size in self._sizes]  # type: ignore[misc] # mypy infers no lambda with a default

    def sweep(self, now: float) -> None: ...

    def close_when_idle(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([[0], [], [1, 2, 3]], []),
        ([[FREE_BYTES] * 100], []),
        ([[FREE_BYTES + 500 * KIB], [FREE_BYTES + 500 * KIB]], []),
        ([[FREE_BYTES + 500 * KIB], [FREE_BYTES + 525 * KIB]], [FREE_BYTES + 525 * KIB]),
        ([[FREE_BYTES + 600 * KIB, FREE_BYTES + 600 * KIB], [FREE_BYTES]], [FREE_BYTES + 600 * KIB]),
        ([[10_000 * KIB], [5_000 * KIB, 900 * KIB]], [10_000 * KIB, 5_000 * KIB]),
        ([[FREE_BYTES + 4 * KIB] * 300], [FREE_BYTES + 4 * KIB] * 50),
    ],
    ids=["nothing", "what is free", "just enough", "a little more", "of one connection", "the largest", "many small"],
)
def test_those_who_leave_most_go_and_no_more_than_it_takes(sizes: list[list[int]], expected: list[int]) -> None:
    gone: list[int] = []
    bound = UnreadBound(max_bytes=1_000 * KIB)
    for _ in range(2):  # a round knows nothing of the one before
        gone.clear()
        for some in sizes:
            bound.count(Connection(some, gone))
        for unread in bound.surplus():
            unread.give_up()
        assert gone == expected
