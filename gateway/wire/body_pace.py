"""Whether the body of a request comes fast enough."""

from collections.abc import Callable
from typing import Final

_PIECE_BYTES: Final = 1 << 10


def never_takes_stream(_target: bytes) -> bool:
    """For servers without methods."""
    return False


class BodyPace:
    """Each time span has to bring 1 KiB of a body, or its end.

    A stream of messages comes as its sender has something to say, so that any byte of it will do.
    """

    __slots__ = ("_bytes", "_heard_at", "_kept_at")

    def __init__(self, now: float) -> None:
        self.restart(now)

    def restart(self, now: float) -> None:
        """A body begins, or goes on behind a pause that was not the client's."""
        self._heard_at = self._kept_at = now
        self._bytes = 0

    def heard(self, count: int, now: float) -> None:
        """Bytes of the body came."""
        self._heard_at = now
        self._bytes += count
        if self._bytes >= _PIECE_BYTES:
            self._kept_at, self._bytes = now, 0

    def is_late(self, now: float, span_seconds: float, *, is_stream: Callable[[], bool]) -> bool:
        """Whether the client was too slow; `is_stream` is asked only where it matters."""
        if now - self._kept_at <= span_seconds:
            return False
        return now - self._heard_at > span_seconds or not is_stream()
