"""The first bytes of a connection, which say what the client speaks."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, cast

from troupe.gateway.downstream.exchange import Application
from troupe.gateway.downstream.http1 import Http1Connection, Http1Counters, Http1Limits
from troupe.gateway.downstream.http2 import Http2Connection
from troupe.gateway.downstream.open_connections import OpenConnections, Unread
from troupe.gateway.wire.http2 import PREFACE
from troupe.gateway.wire.http2_server import Http2Counters, Http2Limits

ALPN_PROTOCOLS: Final = ("h2", "http/1.1")
_UNSENT_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Versions:
    """Makes the protocols of both versions of HTTP."""

    application: Application
    http1: Http1Limits
    http2: Http2Limits
    http1_counters: Http1Counters
    http2_counters: Http2Counters
    connections: OpenConnections

    def http1_connection(self) -> Http1Connection:
        """A connection that speaks HTTP/1.1."""
        return Http1Connection(
            application=self.application,
            limits=self.http1,
            counters=self.http1_counters,
            connections=self.connections,
        )

    def http2_connection(self) -> Http2Connection:
        """A connection that speaks HTTP/2."""
        return Http2Connection(
            application=self.application, limits=self.http2, counters=self.http2_counters, connections=self.connections
        )


class AcceptedConnection(asyncio.Protocol):
    """A connection of which nothing is known; hands itself over when it is clear what the client speaks."""

    version: ClassVar[str] = "unknown"

    def __init__(self, versions: Versions, *, on_made: Callable[["AcceptedConnection"], None]) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._versions = versions
        self._on_made = on_made
        self._since = asyncio.get_running_loop().time()
        self._transport: asyncio.Transport
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Otherwise Linux keeps up to 4 MiB of what a client does not read. What is on its way counts not, so that
        # distance costs no speed. https://lwn.net/Articles/560082/
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self._versions.connections.add(self)
        self._on_made(self)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        agreed = tls.selected_alpn_protocol() if tls is not None else None
        if agreed is not None:
            self._hand_over(http2=agreed == "h2")

    def data_received(self, data: bytes) -> None:
        self._data += data
        is_http2 = self._data.startswith(PREFACE)
        if is_http2 or not PREFACE.startswith(self._data):
            self._hand_over(http2=is_http2)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def sweep(self, now: float) -> None:
        """Ends a connection that says nothing, or half a preface, for too long."""
        limits = self._versions.http1
        if now - self._since > (limits.header_timeout_seconds if self._data else limits.keep_alive_seconds):
            self.close()

    def unread(self) -> Iterable[Unread]:
        """Nothing was answered."""
        return ()

    def close_when_idle(self) -> None:
        """Nothing was asked, so nothing is waited for."""
        self.close()

    def close(self) -> None:
        """Closes."""
        self._transport.close()

    def _hand_over(self, *, http2: bool) -> None:
        versions = self._versions
        make: Callable[[], asyncio.Protocol] = versions.http2_connection if http2 else versions.http1_connection
        protocol, data = make(), self._data
        self._transport.set_protocol(protocol)
        self._leave()
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)

    def _leave(self) -> None:
        self._versions.connections.discard(self)
        self._data = b""
        if not self.closed.done():
            self.closed.set_result(None)
