"""From a host name to addresses, all of which were checked."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final, Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from troupe.core.web.addresses import AddressRules, IpAddress
from troupe.core.web.urls import forbidden

# Lookups of names whose servers are slow wait here, and not in the threads that the rest of the process uses.
_LOOKUP_THREADS: Final = 16


class Lookup(Protocol):
    """Finds the addresses of a name."""

    async def addresses(self, host: str) -> Sequence[IpAddress]:
        """All of them, the preferred ones first; raises OSError when there are none."""

    async def close(self) -> None:
        """Lets go of what lookups need."""


class SystemLookup:
    """Asks the operating system, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")

    async def addresses(self, host: str) -> Sequence[IpAddress]:
        """As `getaddrinfo` orders them."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host)
        return [ip_address(text) for text in found]

    async def close(self) -> None:
        """Does not wait for lookups that still run."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Hands the connector the addresses that were checked: it connects to those and asks no second time."""

    def __init__(self, *, rules: AddressRules, lookup: Lookup) -> None:
        self._rules = rules
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the name.

        Raises:
            ForbiddenAddressError: one of them is not allowed. The others are not tried: such a name is either a
                mistake or an attack.
        """
        addresses = await self._lookup.addresses(host)
        if not all(self._rules.allow(address) for address in addresses):
            raise forbidden(host, self._rules)
        if not addresses:
            raise OSError(f"no address of {host!r} was found")
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Closes the lookup."""
        await self._lookup.close()


def _result(host: str, address: IpAddress, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )


def _getaddrinfo(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [_text(sockaddr) for *_, sockaddr in found]


def _text(sockaddr: tuple[object, ...]) -> str:
    """The address, with the scope that only link-local ones have: `AddressRules` refuses those."""
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{sockaddr[0]}%{scope}" if scope and "%" not in str(sockaddr[0]) else str(sockaddr[0])
