"""A WebSocket client that sees every frame."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from tests.support.gateway import WebConnection, WebResponse

KEY = base64.b64encode(b"sixteen bytes ok").decode()
HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": KEY,
}


class WebSocketClient:
    """An open socket."""

    def __init__(self, connection: WebConnection) -> None:
        self._connection = connection
        self._peer = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self.answers_pings = True
        self.pings = 0
        self.close: CloseConnection | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, path: str, **headers: str) -> AsyncIterator[Self]:
        async with WebConnection.open(address) as connection:
            connection.send("GET", path, {**HANDSHAKE, **headers})
            head = await connection.head()
            assert head.status == 101, head
            assert head.headers["sec-websocket-accept"] == generate_accept_token(KEY.encode()).decode()
            yield cls(connection)

    def send(self, message: object) -> None:
        """Sends a message: text as it is, all else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_raw(bytes(self._peer.send(TextMessage(data=text))))

    def send_event(self, event: Event) -> None:
        """Sends any frame."""
        self.send_raw(bytes(self._peer.send(event)))

    def send_raw(self, data: bytes) -> None:
        """Sends bytes."""
        self._connection.writer.write(data)

    async def receive(self) -> Any:
        """The next message, read from JSON; None when the server closes."""
        text = ""
        while True:
            event = await self._next()
            if event is None:
                return None
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    return json.loads(text)

    async def rest(self) -> list[Any]:
        """All messages until the server closes."""
        messages = []
        while (message := await self.receive()) is not None:
            messages.append(message)
        return messages

    async def _next(self) -> Event | None:
        while not self._events:
            data = await self._connection.reader.read(1 << 16)
            if not data:
                return None
            self._peer.receive_data(data)
            self._events += self._peer.events()
        event = self._events.pop(0)
        if isinstance(event, Ping):
            self.pings += 1
            if self.answers_pings:
                self.send_event(event.response())
        if isinstance(event, CloseConnection):
            self.close = event
            self.send_event(event.response())
            return None
        return event


async def refused(address: str, path: str, **headers: str) -> WebResponse:
    """The answer to a handshake that fails."""
    async with WebConnection.open(address) as connection:
        connection.send("GET", path, {name: value for name, value in {**HANDSHAKE, **headers}.items() if value})
        return await connection.response()
