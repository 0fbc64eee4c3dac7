"""What an HTTP version and the application promise each other for one request."""

from collections.abc import Iterable
from typing import Protocol

from troupe.gateway.wire.request import RequestHead


class Downstream(Protocol):
    """The client's side of one request. After `end`, or after the client has gone, every call does nothing."""

    @property
    def congested(self) -> bool:
        """Whether the client reads too slowly; `Upload.writable` is called when it has caught up."""
        ...

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, length: int | None = None) -> None:
        """Sends the head of the response; `length` is that of the body, when it is known.

        Over HTTP/1.1, 101 makes the connection one of another protocol: both bodies are its bytes, without a frame
        around them, and the request's comes only when it has no body of its own.
        """
        ...

    def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        ...

    def end(self, data: bytes = b"", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Sends the last part of the body, and trailers where the version of HTTP has them: HTTP/1.1 drops them."""
        ...

    def break_off(self) -> None:
        """Ends the response in a way that the client cannot take for its end."""
        ...

    def pause_body(self) -> None:
        """Reads no more of the request's body for now."""
        ...

    def resume_body(self) -> None:
        """Reads the request's body again."""
        ...


class Upload(Protocol):
    """The application's side of one request."""

    def body(self, data: bytes) -> None:
        """A part of the request's body."""
        ...

    def body_ended(self) -> None:
        """All of the request's body has come."""
        ...

    def writable(self) -> None:
        """The client has caught up."""
        ...

    def gone(self) -> None:
        """The client went away; nothing more is called."""
        ...


class Application(Protocol):
    """What answers requests."""

    def handle(self, head: RequestHead, downstream: Downstream) -> Upload | None:
        """Takes a request; None when it is answered already and its body does not matter."""
        ...
