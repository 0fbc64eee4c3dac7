"""A gRPC server for tests that answers with the bytes it is told to, whether HTTP/2 allows them or not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from troupe.gateway.wire import hpack_blocks, hpack_fields, http2
from troupe.gateway.wire.framing import message_frame

HEAD: Final = hpack_blocks.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS: Final = hpack_blocks.encode([(b"grpc-status", b"0")])
_FRAME_BYTES: Final = http2.DEFAULT_FRAME_BYTES

Answer = Callable[[int], bytes]
"""The bytes for a stream."""


def head(stream_id: int) -> bytes:
    """A response begins."""
    return http2.headers_frames(stream_id, HEAD, end=False, max_frame_bytes=_FRAME_BYTES)


def message(stream_id: int, data: bytes) -> bytes:
    """A message."""
    return http2.data_frames(stream_id, message_frame(data), end=False, max_frame_bytes=_FRAME_BYTES)


def ending(stream_id: int) -> bytes:
    """A call ends well."""
    return http2.headers_frames(stream_id, TRAILERS, end=True, max_frame_bytes=_FRAME_BYTES)


@dataclass
class RawBackend:
    """Answers by the last part of the path; what has no answer is watched until `release`."""

    answers: Mapping[bytes, Answer]
    connections: int = 0
    watching: list[tuple[asyncio.StreamWriter, int]] = field(default_factory=list)

    def release(self) -> None:
        """Sends every watcher an event and the end."""
        for writer, stream_id in self.watching:
            writer.write(message(stream_id, b"event") + ending(stream_id))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection until it is closed."""
        try:
            await reader.readexactly(len(http2.PREFACE))
            self.connections += 1
            writer.write(http2.settings({}))
            while True:
                length, flags, stream_id = http2.FRAME_HEADER.unpack(await reader.readexactly(9))
                payload = await reader.readexactly(length >> 8)
                self._on_frame(length & 0xFF, flags, stream_id, payload, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes, writer: asyncio.StreamWriter) -> None:
        if kind == http2.SETTINGS and not flags:
            writer.write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        elif kind == http2.PING and not flags:
            writer.write(http2.frame(http2.PING, http2.ACK, 0, payload))
        elif kind == http2.HEADERS:
            name = dict(hpack_fields.decode(payload) or ())[b":path"].rpartition(b"/")[2]
            answer = self.answers.get(name)
            writer.write(head(stream_id) if answer is None else answer(stream_id))
            if answer is None:
                self.watching.append((writer, stream_id))


@asynccontextmanager
async def serving_raw(answers: Mapping[bytes, Answer]) -> AsyncIterator[tuple[RawBackend, str]]:
    """Serves inside the block; yields the backend and its address."""
    backend = RawBackend(answers)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    async with server:
        yield backend, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
