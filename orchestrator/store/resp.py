"""A lean Redis client: one connection that many callers share, commands of one loop tick in one write.

The engine makes few, large calls and cancels many waits. General clients cost it more than Redis does, and lose
connections when a call is cancelled; here a cancelled caller's reply is read and dropped. RESP2 by hiredis.
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

import hiredis

Command = tuple[str | bytes | int, ...]

CONNECT_TIMEOUT_SECONDS: Final = 2.0
REPLY_TIMEOUT_SECONDS: Final = 4.0
_DEFAULT_PORT: Final = 6379
# What Redis answers while it cannot serve, or when its data is gone with the groups: the caller may try again, as
# with a cut connection.
_NOT_NOW: Final = (
    "NOGROUP",
    "LOADING",
    "BUSY ",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "OOM",
)


class ReplyError(Exception):
    """Redis refused a command."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Redis is, and how to log in."""

    host: str
    port: int
    tls: bool
    username: str
    password: str
    database: int

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Reads `redis[s]://[user:password@]host[:port][/database]`.

        Raises:
            ValueError: the URL is none of these; the message does not repeat its password.
        """
        parts = urlsplit(url)
        database = parts.path.strip("/") or "0"
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not database.isdigit():
            raise ValueError("must look like redis://host:6379/0, or rediss:// for TLS")
        return cls(
            host=parts.hostname,
            port=parts.port or _DEFAULT_PORT,
            tls=parts.scheme == "rediss",
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=int(database),
        )

    @property
    def greeting(self) -> Sequence[Command]:
        """What a new connection begins with."""
        commands: list[Command] = []
        if self.password:
            commands.append(("AUTH", self.username, self.password) if self.username else ("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        return commands

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Connection(asyncio.Protocol):
    """One TCP connection: replies come in the order of the commands."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.reply_timeout_seconds = REPLY_TIMEOUT_SECONDS

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, command: Command) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        if not self.usable:
            reply.set_exception(ConnectionError("the connection to Redis was cut"))
            return reply
        if not self._unsent:
            loop.call_soon(self._flush)
        self._unsent.append(hiredis.pack_command(command))
        self._waiting.append((time.monotonic(), reply))
        return reply

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                _settle(waiter, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._transport = None
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(ConnectionError("the connection to Redis was cut"))
        self._waiting.clear()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.write(b"".join(unsent))

    def _watch(self) -> None:
        """Cuts the connection when the oldest command has had no reply for too long."""
        if self._waiting and time.monotonic() - self._waiting[0][0] > self.reply_timeout_seconds:
            self.close()
            return
        self._watchdog = asyncio.get_running_loop().call_later(self.reply_timeout_seconds / 4, self._watch)


class RedisClient:
    """Commands over one shared connection, which is made when first needed and again when cut.

    Every method raises `OSError` when Redis cannot be reached or does not answer, `ReplyError` when it refuses.
    """

    def __init__(self, url: str) -> None:
        self.endpoint = Endpoint.parse(url)
        self._shared: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, *command: str | bytes | int) -> Any:
        """Sends one command and returns its reply."""
        return await (await self._connection()).send(command)

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands together and returns their replies; others' may run between them."""
        connection = await self._connection()
        replies = [connection.send(command) for command in commands]
        return list(await asyncio.gather(*replies))

    async def execute_atomically(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands as one transaction."""
        *_, replies = await self.execute_all([("MULTI",), *commands, ("EXEC",)])
        results: list[Any] = replies
        return results

    @asynccontextmanager
    async def blocking(self, *, reply_timeout_seconds: float) -> AsyncIterator["BlockingClient"]:
        """A connection of its own for commands that block; it is closed at the end, whatever runs on it."""
        connection = await self._open()
        connection.reply_timeout_seconds = reply_timeout_seconds
        try:
            yield BlockingClient(connection)
        finally:
            connection.close()

    async def close(self) -> None:
        """Closes the shared connection."""
        if self._shared is not None:
            self._shared.close()

    async def _connection(self) -> _Connection:
        if self._shared is not None and self._shared.usable:
            return self._shared
        async with self._connecting:
            if self._shared is None or not self._shared.usable:
                self._shared = await self._open()
            return self._shared

    async def _open(self) -> _Connection:
        endpoint, loop = self.endpoint, asyncio.get_running_loop()
        context = ssl.create_default_context() if endpoint.tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            _, connection = await loop.create_connection(_Connection, endpoint.host, endpoint.port, ssl=context)
        greetings = [connection.send(command) for command in endpoint.greeting]
        await asyncio.gather(*greetings)
        return connection


class BlockingClient:
    """One connection that only its owner uses."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def execute(self, *command: str | bytes | int) -> Any:
        """Sends one command and returns its reply."""
        return await self._connection.send(command)


def _settle(waiter: "asyncio.Future[Any]", reply: Any) -> None:
    error = reply
    if isinstance(reply, list) and reply:  # a transaction answers with the errors of its commands
        error = next((item for item in reply if isinstance(item, hiredis.ReplyError)), reply)
    if not isinstance(error, hiredis.ReplyError):
        waiter.set_result(reply)
    elif str(error).startswith(_NOT_NOW):
        waiter.set_exception(ConnectionError(f"Redis answers {error}"))
    else:
        waiter.set_exception(ReplyError(str(error)))
