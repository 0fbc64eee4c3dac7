"""What a backend says of its own health, as `grpc.health.v1` has it."""

from collections.abc import Callable
from typing import Final

from gateway.upstream.connection import BackendConnection
from gateway.wire import hpack_blocks, http2, metadata
from gateway.wire.framing import message_frame
from gateway.wire.hpack_blocks import Headers
from gateway.wire.http2_client import Stream
from gateway.wire.status import Code

_PATH: Final = b"/grpc.health.v1.Health/Watch"
# The field `status` of a HealthCheckResponse with the value NOT_SERVING, behind the header of its message.
_NOT_SERVING: Final = message_frame(b"\x08\x02")
_UNIMPLEMENTED: Final = b"%d" % Code.UNIMPLEMENTED


class HealthWatch:
    """Follows the health of the server behind one connection. A server that does not tell counts as healthy."""

    def __init__(self, connection: BackendConnection, on_end: Callable[["HealthWatch"], None]) -> None:
        self.healthy = True
        self.told = True
        """Whether the server knows the service; there is no use in asking again when it does not."""
        self._on_end = on_end
        block = hpack_blocks.METHOD_POST + hpack_blocks.SCHEME_HTTP
        block += hpack_blocks.encode(
            [
                (b":path", _PATH),
                (b":authority", connection.authority),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc+proto"),
            ]
        )
        self._stream: Stream | None = connection.open_stream(block, self)
        self._stream.send(message_frame(b""), end=True)

    def close(self) -> None:
        """Watches no more: a server that stops waits for its streams."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(http2.CANCEL)

    def headers(self, headers: Headers, *, end: bool) -> None:
        """See `Receiver`."""
        if end:
            outcome = metadata.read_response(headers).status
            self.told = outcome is None or outcome.code != _UNIMPLEMENTED
            self.ended()

    def data(self, data: bytes) -> None:
        """See `Receiver`: messages are a few bytes, and the last of them counts."""
        self.healthy = not data.endswith(_NOT_SERVING)

    def ended(self) -> None:
        """See `Receiver`."""
        self._stream = None
        self._on_end(self)

    def reset(self, code: int, message: str) -> None:
        """See `Receiver`."""
        self.ended()

    def writable(self) -> None:
        """See `Receiver`."""
