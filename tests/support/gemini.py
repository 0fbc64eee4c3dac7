"""A server that speaks the wire format of the Gemini API, for the real google-genai client."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Script:
    """What the server answers: a status with a body, or events of a stream."""

    status: int = 200
    body: Json = field(default_factory=dict)
    events: Sequence[Json] = ()
    cut: bool = False
    """Whether the connection breaks off behind the events."""
    hang: bool = False
    """Whether the stream stays open behind the events."""


@dataclass
class Call:
    """A request that came."""

    path: str
    key: str
    body: Json


class FakeGemini:
    """Answers every request by its script and keeps what came."""

    def __init__(self) -> None:
        self.script = Script()
        self.calls: list[Call] = []
        self.dropped = asyncio.Event()
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            key = headers.get("x-goog-api-key", "")
            self.calls.append(Call(head.split(" ")[1], key, json.loads(body or b"{}")))
            await (self._stream if self.script.events else self._reply)(writer)
            if self.script.hang:
                await reader.read()
                self.dropped.set()
        finally:
            writer.close()

    async def _reply(self, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(self.script.body).encode()
        head = f"HTTP/1.1 {self.script.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        for event in self.script.events:
            frame = f"data: {json.dumps(event)}\r\n\r\n".encode()
            writer.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")
        if not (self.script.cut or self.script.hang):
            writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def fake_gemini() -> AsyncIterator[FakeGemini]:
    """Runs the server on a free port of loopback."""
    fake = FakeGemini()
    server = await asyncio.start_server(fake.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fake.url = f"http://127.0.0.1:{port}"
    async with server:
        yield fake


def text_event(text: str, *, finish: str | None = None, usage: Json | None = None) -> Json:
    """A chunk of a streamed answer."""
    candidate: Json = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **({"usageMetadata": usage} if usage else {})}
