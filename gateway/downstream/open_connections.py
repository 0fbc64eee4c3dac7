"""What the server keeps of each connection."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Unread:
    """So much of a response waits for its client; `give_up` sends the client away."""

    size_bytes: int
    give_up: Callable[[], None]


class OpenConnection(Protocol):
    """A connection of a client, whatever it speaks."""

    version: ClassVar[str]
    """Of HTTP, as metrics name it."""
    closed: asyncio.Future[None]

    def sweep(self, now: float) -> None:
        """Ends the connection when the client's time is up."""
        ...

    def unread(self) -> Iterable[Unread]:
        """What waits for the client."""
        ...

    def close_when_idle(self) -> None:
        """Takes no more requests; ends when those that were taken have."""
        ...

    def close(self) -> None:
        """Closes when what was written is sent."""
        ...


class OpenConnections:
    """The connections that are open."""

    def __init__(self) -> None:
        self._connections: set[OpenConnection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[OpenConnection]:
        """A copy, since connections leave while they are ended."""
        return iter(list(self._connections))

    def add(self, connection: OpenConnection) -> None:
        """The connection is there from now on."""
        self._connections.add(connection)

    def discard(self, connection: OpenConnection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
