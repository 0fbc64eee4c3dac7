"""One connection to one Redis: commands of one loop tick in one write, replies in their order. RESP2 by hiredis.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from troupe.orchestrator.redis.endpoint import Address, Command, Endpoint
from troupe.orchestrator.redis.refusals import LOCKED_OUT, meaning

CONNECT_TIMEOUT_SECONDS: Final = 2.0
REPLY_TIMEOUT_SECONDS: Final = 4.0
# Redis did not run the command: its node does not serve the key, or nothing now.
_NOT_RUN: Final = ("MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN")
# What Redis answers while it cannot serve, or when its data is gone with the groups: the caller may try again, as
# with a cut connection.
_NOT_NOW: Final = ("NOGROUP", "BUSY ", "READONLY", "NOREPLICAS", "OOM", "MISCONF", "UNBLOCKED")
# The node is not, or no longer, the master of what was asked for.
_NOT_MASTER: Final = ("MOVED ", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "UNBLOCKED")
# A cluster of Redis, and any other server, when asked for a database that it does not have.
_NO_DATABASE: Final = ("cluster mode", "DB index is out of range")


class ReplyError(Exception):
    """Redis refused a command."""


class RefusedError(ConnectionError):
    """Redis refused a command for now. `refusal` is what it answered."""

    def __init__(self, refusal: str) -> None:
        super().__init__(meaning(refusal))
        self.refusal = refusal


class NotRunError(ConnectionError):
    """A command that certainly did not run. `refusal` is what Redis answered, empty when it was not sent."""

    def __init__(self, message: str, *, refusal: str = "") -> None:
        super().__init__(message)
        self.refusal = refusal


class Connection(asyncio.Protocol):
    """One connection that many callers share; a cancelled caller's reply is read and dropped.

    `on_lost` is called when the connection is cut from outside, with an empty text, and when its node turns out to be
    no master, with what it answered.
    """

    def __init__(self, *, on_lost: Callable[[str], None]) -> None:
        self.reply_timeout_seconds = REPLY_TIMEOUT_SECONDS
        self._on_lost = on_lost
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def usable(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether replies are due."""
        return bool(self._waiting)

    def send(self, command: Command) -> "asyncio.Future[Any]":
        """Sends a command at the end of this loop tick. The reply raises `OSError` or `ReplyError`."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        if not self.usable:
            reply.set_exception(NotRunError("the connection to Redis was cut"))
            return reply
        if not self._unsent:
            loop.call_soon(self._flush)
        self._unsent.append(hiredis.pack_command(command))
        self._waiting.append((time.monotonic(), reply))
        return reply

    def close(self) -> None:
        """Cuts the connection."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            _, waiter = self._waiting.popleft()
            if (error := _error_in(reply)) is not None:
                self._refuse(waiter, str(error), in_transaction=error is not reply)
            elif not waiter.done():
                waiter.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._transport = None
        if not self._closed:
            self._on_lost("")
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
            cast("asyncio.Transport", self._transport).abort()
            return
        self._watchdog = asyncio.get_running_loop().call_later(self.reply_timeout_seconds / 4, self._watch)

    def _refuse(self, waiter: "asyncio.Future[Any]", text: str, *, in_transaction: bool) -> None:
        if text.startswith(_NOT_MASTER):
            self._on_lost(text)
        if waiter.done():
            return
        if text.startswith(_NOT_RUN + LOCKED_OUT) and not in_transaction:
            waiter.set_exception(NotRunError(meaning(text), refusal=text))
        elif text.startswith(_NOT_RUN + LOCKED_OUT + _NOT_NOW):
            waiter.set_exception(RefusedError(text))
        else:
            waiter.set_exception(ReplyError(text))


def _error_in(reply: Any) -> hiredis.ReplyError | None:
    """A transaction answers with the errors of its commands."""
    if isinstance(reply, list):
        for item in reply:
            if isinstance(item, hiredis.ReplyError):
                return item
        return None
    return reply if isinstance(reply, hiredis.ReplyError) else None


async def open_connection(endpoint: Endpoint, address: Address, *, on_lost: Callable[[str], None]) -> Connection:
    """Connects and logs in.

    Raises:
        NotRunError: no Redis answers at the address, or it does not let us in.
        ReplyError: it lacks the database.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(on_lost=on_lost)
    context = ssl.create_default_context() if endpoint.tls else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            if address.is_path:
                await loop.create_unix_connection(lambda: connection, address.host)
            else:
                await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
            await asyncio.gather(*[connection.send(command) for command in endpoint.greeting])
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            refusal = getattr(error, "refusal", "")
            problem = str(error) if refusal else f"cannot connect to Redis at {address}: {error or 'no answer'}"
            raise NotRunError(problem, refusal=refusal) from None
        if isinstance(error, ReplyError) and any(words in str(error) for words in _NO_DATABASE):
            problem = f"the Redis at {address} has no database {endpoint.database}; name another in its URL"
            raise ReplyError(f"{problem}: a cluster has database 0 only") from None
        raise
    return connection
