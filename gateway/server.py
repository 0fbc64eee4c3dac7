"""The listening socket and the connections behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.downstream.exchange import Application
from gateway.downstream.http1 import Http1Connection, Http1Limits
from troupe.core.server import StartupError

_SWEEP_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 1.0
_BACKLOG: Final = 4096


class WebServer:
    """Serves HTTP/1.1."""

    def __init__(self, *, application: Application, limits: Http1Limits, max_connections: int) -> None:
        self._application = application
        self._limits = limits
        self._max_connections = max_connections
        self._connections: set[Http1Connection] = set()

    @asynccontextmanager
    async def listening(self, listen: str) -> AsyncIterator[str]:
        """Listens inside the block; yields the address. Connections outlive the listener until `close`.

        Raises:
            StartupError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        host, _, port = listen.rpartition(":")
        try:
            server = await loop.create_server(self._connect, host.strip("[]"), int(port), backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            raise StartupError(
                f"cannot listen on {listen!r}: the port is taken or the address is not ours ({error}); "
                "set TROUPE_GATEWAY__LISTEN to another"
            ) from None
        sweeping = loop.create_task(self._sweep(), name="sweep")
        try:
            yield f"{host}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            sweeping.cancel()

    def close_idle(self) -> None:
        """Ends connections that wait for a request; the others end with their response."""
        for connection in list(self._connections):
            connection.close_when_idle()

    async def close(self) -> None:
        """Ends what is left; waits a moment until the clients have read what is said."""
        closing = [connection.closed for connection in self._connections]
        for connection in list(self._connections):
            connection.close()
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def _connect(self) -> asyncio.Protocol:
        if len(self._connections) >= self._max_connections:
            return _Refused()
        return Http1Connection(application=self._application, limits=self._limits, connections=self._connections)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._connections):
                connection.sweep(now)


class _Refused(asyncio.Protocol):
    """A connection over the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
