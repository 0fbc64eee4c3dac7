"""A gRPC server that is faster than what is measured: it answers with frames that were made beforehand.

Streams as many 200-byte messages as the header `x-count` says, within the windows of its client.
"""

import asyncio
import struct
import sys
from typing import Final, cast

import uvloop
from hpack import Decoder

from gateway.wire import hpack_blocks, http2

MESSAGE_BYTES: Final = 205
_RUN: Final = 256  # frames that are written at once
_MESSAGE: Final = b"\x00" + struct.pack(">I", MESSAGE_BYTES - 5) + b"m" * (MESSAGE_BYTES - 5)
_HEADERS: Final = hpack_blocks.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_TRAILERS: Final = hpack_blocks.encode([(b"grpc-status", b"0")])


class FastBackend(asyncio.Protocol):
    """A connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.buffer = b""
        self.seen_preface = False
        self.decoder = Decoder()
        self.initial_window = http2.DEFAULT_WINDOW_BYTES
        self.connection_window = http2.DEFAULT_WINDOW_BYTES
        self.windows: dict[int, int] = {}
        self.left: dict[int, int] = {}
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=1 << 20)
        self.transport.write(http2.settings({}))

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.stream()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.seen_preface and len(self.buffer) >= len(http2.PREFACE):
            self.buffer, self.seen_preface = self.buffer[len(http2.PREFACE) :], True
        position = 0
        while len(self.buffer) - position >= http2.FRAME_HEADER_BYTES:
            length, flags, stream_id = http2.FRAME_HEADER.unpack_from(self.buffer, position)
            start = position + http2.FRAME_HEADER_BYTES
            if start + (length >> 8) > len(self.buffer):
                break
            position = start + (length >> 8)
            self.on_frame(length & 0xFF, flags, stream_id, self.buffer[start:position])
        self.buffer = self.buffer[position:]
        self.stream()

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == http2.SETTINGS and not flags & http2.ACK:
            self.initial_window = dict(http2.parse_settings(payload)).get(
                http2.INITIAL_WINDOW_SIZE, self.initial_window
            )
            self.transport.write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        elif kind == http2.WINDOW_UPDATE:
            if stream_id:
                self.windows[stream_id] = self.windows.get(stream_id, 0) + http2.parse_uint32(payload)
            else:
                self.connection_window += http2.parse_uint32(payload)
        elif kind == http2.HEADERS:
            headers = dict(self.decoder.decode(payload, raw=True))
            self.windows[stream_id] = self.initial_window
            self.left[stream_id] = int(headers.get(b"x-count", b"1"))
            frames = http2.headers_frames(stream_id, _HEADERS, end=False, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
            self.transport.write(frames)
        elif kind == http2.RST_STREAM:
            self.left.pop(stream_id, None)

    def stream(self) -> None:
        for stream_id in list(self.left):
            while self.left[stream_id] and not self.full:
                window = min(self.windows[stream_id], self.connection_window) // MESSAGE_BYTES
                count = min(self.left[stream_id], window, _RUN)
                if not count:
                    break
                self.windows[stream_id] -= count * MESSAGE_BYTES
                self.connection_window -= count * MESSAGE_BYTES
                self.left[stream_id] -= count
                self.transport.write(http2.frame(http2.DATA, 0, stream_id, _MESSAGE) * count)
            if not self.left[stream_id]:
                del self.left[stream_id]
                self.transport.write(
                    http2.headers_frames(stream_id, _TRAILERS, end=True, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)
                )


async def main() -> None:
    """Serves on the port that the first argument names, until it is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FastBackend, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
