"""The listening socket and the connections behind it."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Final

from troupe.core.addresses import HostPort
from troupe.core.background import background
from troupe.core.server import StartupError
from troupe.gateway.downstream.accept import AcceptedConnection, Versions
from troupe.gateway.downstream.exchange import Application
from troupe.gateway.downstream.http1 import Http1Counters, Http1Limits
from troupe.gateway.downstream.open_connections import OpenConnections
from troupe.gateway.downstream.unread_bound import UnreadBound
from troupe.gateway.tls import ServerTls
from troupe.gateway.wire.http2_server import Http2Counters, Http2Limits

_SWEEP_SECONDS: Final = 0.5
_SWEPT_AT_ONCE: Final = 64
_SWEEPS_PER_REFRESH: Final = 4
_CLOSE_SECONDS: Final = 1.0
_BACKLOG: Final = 4096
_HTTP2: Final = Http2Limits()


class WebServer:
    """Serves HTTP/1.1 and HTTP/2 on one port."""

    def __init__(
        self,
        *,
        application: Application,
        limits: Http1Limits,
        max_connections: int,
        max_unread_bytes: int = 128 << 20,
        http2: Http2Limits = _HTTP2,
        tls: ServerTls | None = None,
    ) -> None:
        self._http1_counters = Http1Counters()
        self._http2_counters = Http2Counters()
        self._connections_refused = 0
        self._max_connections = max_connections
        self._unread = UnreadBound(max_bytes=max_unread_bytes)
        self._tls = tls
        self._handshake_seconds = limits.header_timeout_seconds
        self._handshaking: dict[AcceptedConnection, float] = {}
        self._connections = OpenConnections()
        self._versions = Versions(
            application, limits, http2, self._http1_counters, self._http2_counters, self._connections
        )

    @asynccontextmanager
    async def listening(self, listen: str) -> AsyncIterator[str]:
        """Listens inside the block; yields the address. Connections outlive the listener until `close`.

        Raises:
            StartupError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        where = HostPort.parse(listen)
        try:
            server = await loop.create_server(
                self._connect,
                where.bare_host,
                where.port,
                backlog=_BACKLOG,
                ssl=self._tls.context if self._tls is not None else None,
                ssl_handshake_timeout=self._handshake_seconds if self._tls is not None else None,
            )
        except (OSError, OverflowError) as error:
            raise StartupError(
                f"cannot listen on {listen!r}: the port is taken or the address is not ours ({error}); "
                "set TROUPE_GATEWAY__LISTEN to another"
            ) from None
        async with background(self._sweep(), name="sweep"):
            try:
                yield f"{where.host}:{server.sockets[0].getsockname()[1]}"
            finally:
                server.close()

    def close_idle(self) -> None:
        """Ends connections that wait for a request; the others end with their response."""
        for connection in self._connections:
            connection.close_when_idle()

    async def close(self) -> None:
        """Ends what is left; waits a moment until the clients have read what is said."""
        closing = [connection.closed for connection in self._connections]
        for connection in self._connections:
            connection.close()
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)

    def connections(self) -> dict[str, int]:
        """Connections that are open, by version of HTTP."""
        return {"1.1": 0, "2": 0} | Counter(connection.version for connection in self._connections)

    def refusals(self) -> dict[str, int]:
        """What was refused since the start, by reason."""
        return {
            "connections_refused": self._connections_refused,
            **asdict(self._http1_counters),
            **asdict(self._http2_counters),
        }

    def _connect(self) -> asyncio.Protocol:
        if len(self._connections) + len(self._handshaking) >= self._max_connections:
            self._connections_refused += 1
            return _Refused()
        connection = AcceptedConnection(self._versions, on_made=self._forget_handshake)
        if self._tls is not None:
            self._handshaking[connection] = asyncio.get_running_loop().time()
        return connection

    def _forget_handshake(self, connection: AcceptedConnection) -> None:
        self._handshaking.pop(connection, None)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for sweep in itertools.count():
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for place, connection in enumerate(self._connections, start=1):
                if not connection.closed.done():
                    connection.sweep(now)
                if not connection.closed.done():
                    self._unread.count(connection)
                if place % _SWEPT_AT_ONCE == 0:  # thousands in one go would hold up every stream
                    await asyncio.sleep(0)
            for unread in self._unread.surplus():
                unread.give_up()
            self._sweep_handshakes(now)
            if self._tls is not None and sweep % _SWEEPS_PER_REFRESH == 0:
                self._tls.refresh()

    def _sweep_handshakes(self, now: float) -> None:
        # Nobody says when a handshake fails, so those that failed count as long as they could have taken.
        for connection, began in list(self._handshaking.items()):
            if now - began <= self._handshake_seconds:
                break
            del self._handshaking[connection]


class _Refused(asyncio.Protocol):
    """A connection over the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
