"""Calls of foreign URLs: checked, bounded in time and size, with nothing taken from the environment."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

import aiohttp

from troupe.core.web.addresses import AddressRules, parse_address
from troupe.core.web.errors import UnreachableError, WebTimeoutError
from troupe.core.web.resolver import CheckedResolver, Lookup, SystemLookup
from troupe.core.web.urls import check_url, forbidden

_READ_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class WebResponse:
    """What came back. Redirects are responses like others; header names compare without regard to case.

    `truncated`: the body was longer than was asked for, and the rest was not read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


class WebClient:
    """Makes calls inside `async with`. Each has a connection of its own.

    `tls` replaces the system's certificate authorities, `lookup` the system's resolver.
    """

    def __init__(
        self,
        *,
        rules: AddressRules,
        timeout_seconds: float,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self._rules = rules
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._lookup = lookup

    async def __aenter__(self) -> Self:
        self._resolver = CheckedResolver(rules=self._rules, lookup=self._lookup or SystemLookup())
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            force_close=True,
            limit=0,
            ssl=self._tls or True,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"user-agent": f"troupe/{version('troupe')}", "accept-encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._resolver.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        max_body_bytes: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> WebResponse:
        """Makes one call, within the timeout from the lookup to the last byte; the body comes as it was sent.

        Raises:
            RefusedUrlError: the rules do not let the URL be called.
            ForbiddenAddressError: a kind of it: its host is not at a public address.
            UnreachableError: no response came.
            WebTimeoutError: the response did not come in time.
        """
        target = check_url(url, self._rules)
        with self._explained(target.raw_host or ""):
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.request(method, target, headers=headers, data=body, allow_redirects=False) as response,
            ):
                content, truncated = await _read(response, max_body_bytes)
                response.close()
                return WebResponse(response.status, response.headers, content, truncated)

    @contextmanager
    def _explained(self, host: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise WebTimeoutError(f"{host!r} did not answer within {self._timeout_seconds} s") from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            # Not the message of the library: it may hold the URL.
            raise UnreachableError(f"{host!r} gave no response: {type(error).__name__}") from None

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """The last gate: whatever led here, a socket is made for allowed addresses only."""
        family, kind, protocol, _, (host, *_) = address
        parsed = parse_address(str(host))
        if parsed is None or not self._rules.allow(parsed):
            raise forbidden(str(host), self._rules)
        return socket.socket(family, kind, protocol)


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether reading stopped there. One byte past a limit tells; past 0 none is read."""
    content = bytearray()
    while limit and len(content) <= limit:
        piece = await response.content.read(min(_READ_BYTES, limit + 1 - len(content)))
        if not piece:
            return bytes(content), False
        content += piece
    return bytes(content[:limit]), True
