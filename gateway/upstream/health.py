"""What a backend says of its own health, as `grpc.health.v1` has it."""

from collections.abc import Callable
from typing import Final

from troupe.gateway.upstream.connection import BackendConnection
from troupe.gateway.wire import hpack_blocks, http2, metadata
from troupe.gateway.wire.framing import MessageCutter, MessageLimitError, message_frame
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.http2_client import Stream
from troupe.gateway.wire.status import Code

_PATH: Final = b"/grpc.health.v1.Health/Watch"
# A HealthCheckResponse: the field `status` with the value NOT_SERVING.
_NOT_SERVING: Final = b"\x08\x02"
_MAX_MESSAGE_BYTES: Final = 1024
_UNIMPLEMENTED: Final = b"%d" % Code.UNIMPLEMENTED


class HealthWatch:
    """Follows the health of the server behind one connection. A server that does not tell counts as healthy."""

    def __init__(self, connection: BackendConnection, on_end: Callable[["HealthWatch"], None]) -> None:
        self.healthy = True
        self.told = True
        """Whether the server knows the service; there is no use in asking again when it does not."""
        self._on_end = on_end
        self._messages = MessageCutter(max_message_bytes=_MAX_MESSAGE_BYTES)
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
        if end:
            outcome = metadata.read_response(headers).status
            self.told = outcome is None or outcome.code != _UNIMPLEMENTED
            self.ended()

    def data(self, data: bytes) -> None:
        """See `Receiver`: the last message counts."""
        try:
            for _, message in self._messages.feed(data):
                self.healthy = message != _NOT_SERVING
        except MessageLimitError:  # whatever this is, it does not say that it cannot serve
            self.close()
            self.ended()

    def ended(self) -> None:
        self._stream = None
        self._on_end(self)

    def reset(self, code: int, message: str) -> None:
        self.ended()

    def writable(self) -> None:
        pass
