"""What a client's protocol and the call behind it promise each other.

A call is gRPC on the backend's side. A dialect writes one call the way its client speaks: gRPC-Web, gRPC, Connect, or
the plain JSON of a page of its own. It does no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.status import Code


class RequestError(ValueError):
    """A request that cannot be passed on; the call ends with `code`."""

    code: Code = Code.INVALID_ARGUMENT

    def __init__(self, message: str, code: Code | None = None, *, violations: Sequence[tuple[str, str]] = ()) -> None:
        """`violations` are the paths of fields and what is wrong with each, where single fields can be named."""
        super().__init__(message)
        self.code = code if code is not None else type(self).code
        self.violations = violations


class ResponseError(ValueError):
    """What the backend sent cannot be written in the client's protocol; the call ends with `code`."""

    def __init__(self, message: str, code: Code = Code.INTERNAL) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Opening:
    """What the call asks of the backend."""

    headers: Headers
    """Of the request to the backend, besides the client's metadata: what the client says under these names is left out.
    """
    timeout_seconds: float | None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response, but for what every response of the gateway carries."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ends."""

    head: ResponseHead | None
    """Where it has not begun before."""
    body: bytes = b""
    trailers: Headers = ()
    """Of HTTP."""
    broken: bool = False
    """The backend broke off inside a message: whatever is said behind it would be read as the rest of it.

    So nothing is, and the response breaks off too."""


class Dialect(Protocol):
    """One call on the client's side."""

    name: ClassVar[str]
    """For people, logs and metrics."""

    def open(self) -> Opening:
        """Reads the head of the request.

        Raises:
            RequestError: it asks for what cannot be had.
        """
        ...

    def request(self, data: bytes) -> bytes:
        """A part of the request's body, as the part of a gRPC body that it gives.

        Raises:
            RequestError: the body is not what it should be.
        """
        ...

    def request_end(self) -> bytes:
        """The request's body has ended; what is left of it.

        Raises:
            RequestError: it ended too early.
        """
        ...

    def begin(self, metadata: Headers) -> ResponseHead | None:
        """The backend has sent its headers; None when the response's head depends on how the call ends."""
        ...

    def response(self, data: bytes) -> bytes:
        """A part of the gRPC response body, as the part of the client's body that it gives.

        Raises:
            ResponseError: it cannot be written.
        """
        ...

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        """The call has ended; `started` says whether `begin` gave a head.

        Where the backend had not begun, `trailers` are all the metadata that there is.

        Raises:
            ResponseError: the call ended well, but what came cannot be written; `finish` is called again with that.
        """
        ...
