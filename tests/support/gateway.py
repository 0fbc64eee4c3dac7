"""The gateway for tests, and a client that sees every byte of it."""

import asyncio
import base64
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from google.protobuf.message import Message

from tests.support.processes import until
from troupe.core.server import Drain
from troupe.gateway.process import serve
from troupe.gateway.settings import GatewaySettings
from troupe.local.launch import free_port

SERVICE = "/troupe.api.orchestrator.v1.OrchestratorService/"
BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"


def framed(*messages: Message) -> bytes:
    """The messages as a gRPC body."""
    bodies = [message.SerializeToString() for message in messages]
    return b"".join(struct.pack(">BI", 0, len(body)) + body for body in bodies)


@dataclass
class WebResponse:
    """A response, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    messages: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def grpc_status(self) -> int:
        """The status, wherever it stands."""
        return int(self.trailers.get("grpc-status") or self.headers["grpc-status"])

    @property
    def grpc_message(self) -> str:
        """The message as it stands on the wire."""
        return self.trailers.get("grpc-message") or self.headers["grpc-message"]

    def parse(self) -> Self:
        """Cuts the body into messages and trailers."""
        data = self.body
        if "grpc-web-text" in self.headers.get("content-type", ""):
            data = _decode_text(data)
        position = 0
        while position < len(data):
            flags, length = struct.unpack_from(">BI", data, position)
            payload = data[position + 5 : position + 5 + length]
            position += 5 + length
            if flags & 0x80:
                assert position == len(data), "bytes behind the trailers"
                lines = payload.decode().splitlines()
                self.trailers = dict(line.split(": ", 1) for line in lines)
            else:
                self.messages.append(payload)
        return self


class WebConnection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader = reader
        self.writer = writer
        self._host = host

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        try:
            yield cls(reader, writer, address)
        finally:
            writer.close()

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Sends a request."""
        fields = {"host": self._host, **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    def call(self, method: str, request: Message, *, media: str = BINARY, **headers: str) -> None:
        """Sends a call."""
        body = framed(request)
        fields = {"content-type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.send("POST", SERVICE + method, fields, base64.b64encode(body) if "text" in media else body)

    async def head(self) -> WebResponse:
        """Reads the head of a response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, value = line.split(": ", 1)
            name = name.lower()
            assert name not in headers or name == "vary", f"{name} stands twice"
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return WebResponse(int(first.split()[1]), headers)

    async def chunk(self) -> bytes:
        """Reads a chunk; the last is empty."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def response(self) -> WebResponse:
        """Reads a whole response."""
        response = await self.head()
        if "content-length" in response.headers:
            response.body = await self.reader.readexactly(int(response.headers["content-length"]))
        elif response.headers.get("transfer-encoding") == "chunked":
            chunks = []
            while data := await self.chunk():
                chunks.append(data)
            response.body = b"".join(chunks)
        return response

    async def answer(self) -> WebResponse:
        """Reads the whole response of a call."""
        return (await self.response()).parse()


async def call(address: str, method: str, request: Message, *, media: str = BINARY, **headers: str) -> WebResponse:
    """Makes a call on a connection of its own."""
    async with WebConnection.open(address) as connection:
        connection.call(method, request, media=media, **headers)
        return await connection.answer()


async def fetch(
    address: str, method: str, path: str, headers: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None
) -> WebResponse:
    """Makes a plain request on a connection of its own."""
    async with WebConnection.open(address, tls) as connection:
        connection.send(method, path, headers or {})
        return await connection.response()


@asynccontextmanager
async def serving_gateway(
    *backends: str, drain: Drain | None = None, listen: str = "", tls: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[str]:
    """Serves inside the block, once a backend is connected; yields the address. `tls` is for a client of it."""
    address = listen or f"127.0.0.1:{free_port()}"
    drain = drain or Drain()
    chosen = GatewaySettings(listen=address, backends=backends, **{"grace_seconds": 0, **settings})

    async def answers() -> bool:
        return (await fetch(address, "GET", "/healthz", tls=tls)).status == 200

    async with asyncio.TaskGroup() as group:
        group.create_task(serve(chosen, drain))
        await until(answers)
        try:
            yield address
        finally:
            drain.start()


def _decode_text(data: bytes) -> bytes:
    """Base64 that is padded in its middle too."""
    return b"".join(base64.b64decode(data[i : i + 4]) for i in range(0, len(data), 4))
