"""How much all clients together may leave unread.

A response whose messages are passed on as they come waits in the backend but for a window. A message that is put
together here, as JSON is, waits here, and may have megabytes.
"""

from collections.abc import Iterable
from typing import Final

from troupe.gateway.downstream.open_connections import OpenConnection, Unread

# What each may leave without being counted: a little more than the windows let wait.
FREE_BYTES: Final = 256 << 10


class UnreadBound:
    """Counts what waits, connection by connection, and says who is to go."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._counted: list[Unread] = []

    def count(self, connection: OpenConnection) -> None:
        """One connection more of this round."""
        self._counted += [unread for unread in connection.unread() if unread.size_bytes > FREE_BYTES]

    def surplus(self) -> Iterable[Unread]:
        """Ends the round: those who left most, as many as it takes."""
        counted, self._counted = self._counted, []
        left = sum(unread.size_bytes - FREE_BYTES for unread in counted)
        for unread in sorted(counted, key=lambda unread: unread.size_bytes, reverse=True):
            if left <= self._max_bytes:
                return
            left -= unread.size_bytes - FREE_BYTES
            yield unread
