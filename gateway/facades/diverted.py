"""Calls whose answers are no responses of their own."""

from collections.abc import Callable, Iterable


def _ignore(_data: bytes) -> None:
    """For calls that are answered at their end."""


def _never() -> bool:
    return False


class Diverted:
    """The `Downstream` of a call whose answer becomes a part of another response."""

    def __init__(
        self,
        *,
        ended: Callable[[bytes], None],
        write: Callable[[bytes], None] = _ignore,
        congested: Callable[[], bool] = _never,
    ) -> None:
        """`write` takes the parts of the answer, `ended` the last of them."""
        self._ended = ended
        self._write = write
        self._congested = congested

    @property
    def congested(self) -> bool:
        return self._congested()

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        pass

    def write(self, data: bytes) -> None:
        self._write(data)

    def end(self, data: bytes = b"", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._ended(data)

    def break_off(self) -> None:
        self._ended(b"")

    def pause_body(self) -> None:
        pass

    def resume_body(self) -> None:
        pass
