"""A gRPC server that is faster than what is measured: it looks at no header and answers with frames made beforehand.

A request's message is a `Call`: how many messages of 200 bytes it wants, and at what pace. Without a pace they come as
fast as the windows of the client allow, streams in turns; with one, each carries the time at which it was written.
"""

import asyncio
import struct
import sys
import time
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, cast

import uvloop

from troupe.gateway.wire import hpack_blocks, http2

STAMP: Final = struct.Struct(">QI")
"""How a paced message begins: nanoseconds of the monotonic clock, and the number of the message in its stream."""
MESSAGE_PREFIX: Final = b"\x00" + struct.pack(">I", 200)
_FILLING: Final = b"m" * (200 - STAMP.size)
MESSAGE: Final = MESSAGE_PREFIX + bytes(STAMP.size) + _FILLING
"""What is sent without a pace."""

_CALL: Final = struct.Struct(">IIII")
_BATCH: Final = 256  # frames that are written at once
_RUN: Final = 1  # frames of one stream before those of the next
_HEADERS: Final = hpack_blocks.encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_TRAILERS: Final = hpack_blocks.encode([(b"grpc-status", b"0")])


class Call(NamedTuple):
    """What a client asks for."""

    messages: int
    interval_us: int = 0
    """Between messages; 0 for as fast as they can be taken."""
    delay_us: int = 0
    """Before the first message, where there is an interval."""
    run: int = 1
    """Messages that come together, where there is none; then it is the turn of the next stream."""

    @property
    def body(self) -> bytes:
        """The request: one message."""
        return b"\x00" + struct.pack(">I", _CALL.size) + _CALL.pack(*self)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Reads what `body` gives."""
        return cls(*_CALL.unpack_from(body, 5))


BODY_BYTES: Final = len(Call(0).body)


@dataclass(slots=True)
class _Answer:
    stream_id: int
    window: int
    left: int = 0
    run: int = 1
    sequence: int = 0
    request: bytes = b""


class FastBackend(asyncio.Protocol):
    """A connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.seen_preface = False
        self.initial_window = http2.DEFAULT_WINDOW_BYTES
        self.window = http2.DEFAULT_WINDOW_BYTES
        self.answers: dict[int, _Answer] = {}
        self.flowing: dict[int, _Answer] = {}
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=1 << 20)
        grown = http2.window_update(0, http2.MAX_WINDOW_BYTES - http2.DEFAULT_WINDOW_BYTES)
        self.transport.write(http2.settings({}) + grown)

    def connection_lost(self, exc: Exception | None) -> None:
        self.answers.clear()
        self.flowing.clear()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.flow()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.seen_preface:
            if len(self.buffer) < len(http2.PREFACE):
                return
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
        if self.flowing:
            self.flow()

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == http2.DATA and stream_id in self.answers:
            answer = self.answers[stream_id]
            answer.request += payload
            if payload and len(answer.request) >= BODY_BYTES:
                self.begin(answer, Call.parse(answer.request))
        elif kind == http2.HEADERS:
            self.answers[stream_id] = _Answer(stream_id, self.initial_window)
        elif kind == http2.WINDOW_UPDATE:
            if stream_id == 0:
                self.window += http2.parse_uint32(payload)
            elif stream_id in self.answers:
                self.answers[stream_id].window += http2.parse_uint32(payload)
        elif kind == http2.RST_STREAM:
            self.answers.pop(stream_id, None)
            self.flowing.pop(stream_id, None)
        elif kind == http2.SETTINGS and not flags & http2.ACK:
            values = dict(http2.parse_settings(payload))
            self.initial_window = values.get(http2.INITIAL_WINDOW_SIZE, self.initial_window)
            self.transport.write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        elif kind == http2.PING and not flags & http2.ACK:
            self.transport.write(http2.frame(http2.PING, http2.ACK, 0, payload))

    def begin(self, answer: _Answer, call: Call) -> None:
        answer.left, answer.run = call.messages, call.run
        headers = _headers(answer.stream_id, _HEADERS, end=False)
        if call.messages == 1:
            data, trailers = self.take(answer, 1), _headers(answer.stream_id, _TRAILERS, end=True)
            assert data, "the window has no room for one message"
            del self.answers[answer.stream_id]
            self.transport.write(headers + data + trailers)
            return
        self.transport.write(headers)
        if call.interval_us:
            due = self.loop.time() + call.delay_us / 1e6
            self.loop.call_at(due, self.send_stamped, answer, due, call.interval_us / 1e6)
        else:
            self.flowing[answer.stream_id] = answer

    def send_stamped(self, answer: _Answer, due: float, interval_seconds: float) -> None:
        if self.answers.get(answer.stream_id) is not answer:
            return
        payload = MESSAGE_PREFIX + STAMP.pack(time.monotonic_ns(), answer.sequence) + _FILLING
        assert min(answer.window, self.window) >= len(payload), "a paced stream has come to the end of its window"
        self.account(answer, 1)
        self.transport.write(http2.frame(http2.DATA, 0, answer.stream_id, payload))
        if answer.left:
            due += interval_seconds
            self.loop.call_at(due, self.send_stamped, answer, due, interval_seconds)
        else:
            self.finish(answer)

    def flow(self) -> None:
        """Sends what the windows allow."""
        while self.flowing and not self.full:
            data = self.take_turns() or b"".join([self.take(answer, answer.run) for answer in self.flowing.values()])
            if not data:
                return
            self.transport.write(data)
            for answer in [answer for answer in self.flowing.values() if not answer.left]:
                del self.flowing[answer.stream_id]
                self.finish(answer)

    def take_turns(self) -> bytes:
        """The same of every stream, as often as it goes; empty when one of them cannot send a whole run."""
        answers = self.flowing.values()
        run = max(answer.run for answer in answers)
        possible = min(min(answer.left, answer.window // len(MESSAGE)) for answer in answers)
        shared = min(self.window // len(MESSAGE), _BATCH) // len(answers)
        turns = min(possible, shared) // run
        for answer in answers if turns else ():
            self.account(answer, turns * run)
        frames = [http2.frame(http2.DATA, 0, answer.stream_id, MESSAGE) * run for answer in answers]
        return b"".join(frames) * turns

    def take(self, answer: _Answer, most: int) -> bytes:
        count = min(answer.left, most, min(answer.window, self.window) // len(MESSAGE))
        self.account(answer, count)
        return http2.frame(http2.DATA, 0, answer.stream_id, MESSAGE) * count

    def account(self, answer: _Answer, count: int) -> None:
        answer.window -= count * len(MESSAGE)
        self.window -= count * len(MESSAGE)
        answer.left -= count
        answer.sequence += count

    def finish(self, answer: _Answer) -> None:
        del self.answers[answer.stream_id]
        self.transport.write(_headers(answer.stream_id, _TRAILERS, end=True))


def _headers(stream_id: int, block: bytes, *, end: bool) -> bytes:
    return http2.headers_frames(stream_id, block, end=end, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)


async def main() -> None:
    """Serves on the port that the first argument names, until it is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FastBackend, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
