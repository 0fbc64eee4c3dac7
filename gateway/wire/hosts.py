"""The names by which a server is called, and which of them are its own.

A page of another site can give its own name the address of this server (DNS rebinding); what it asks then looks like
the requests of a page from here, but for the name in `host`.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.\-]+)(?::([0-9]{0,5}))?")
_LOOPBACK_NAME: Final = "localhost"


class Authority(NamedTuple):
    """A host, in lower case, and the port where it is said; IPv6 addresses are in brackets."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """Reads `host` or `host:port`; None where it is neither."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    host, port = match[1].lower(), int(match[2]) if match[2] else None
    if not host.startswith("["):
        return Authority(host, port)
    address = _address(host)
    return None if address is None else Authority(f"[{address.compressed}]", port)


class HostPolicy:
    """Decides by a list of names: `*` stands for every name, `*.example.org` for all below, `:port` for that port only.

    Loopback's names and the address that the server listens on need not be listed. Nor need any address where the
    server listens on more than loopback: a page has the address of another in its `host` only if it came from there.
    """

    def __init__(self, hosts: Sequence[str], *, listen: str, own_name: str) -> None:
        """`listen` is `host:port`; `own_name` is that of the machine."""
        bound = parse_authority(_bracketed(listen.rpartition(":")[0].strip("[]")))
        self._any = "*" in hosts
        self._listed = [_listed(host) for host in hosts if host != "*"]
        self._everywhere = bound is None or not _is_loopback(bound.host)
        self._own = {own_name.lower()} if self._everywhere else set()
        if bound is not None:
            self._own.add(bound.host)
        self.allows: Callable[[bytes], bool] = lru_cache(maxsize=256)(self._decide)
        """Whether a request to `host` is one to this server."""

    def _decide(self, host: bytes) -> bool:
        if self._any:
            return True
        asked = parse_authority(host.decode("latin-1"))
        if asked is None:
            return False
        asked = Authority(asked.host.removesuffix("."), asked.port)  # the root of all names may be said or not
        if _is_loopback(asked.host) or asked.host in self._own:
            return True
        if self._everywhere and _address(asked.host) is not None:
            return True
        return any(_matches(asked, listed) for listed in self._listed)


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The hosts of a setting.

    Raises:
        ValueError: one is none.
    """
    for host in hosts:
        if host != "*":
            _listed(host)
    return hosts


def _listed(host: str) -> Authority:
    authority = parse_authority(_bracketed(host.removeprefix("*.")))
    if authority is None:
        raise ValueError(
            f"{host!r} is no host: write a name or an address, with a port if only that is meant, "
            "such as 'agents.example.org', '*.example.org', '10.0.0.7:8080' or '[fd00::7]'; '*' takes every host"
        )
    name = authority.host.removesuffix(".")
    return Authority(f".{name}" if host.startswith("*.") else name, authority.port)


def _matches(asked: Authority, listed: Authority) -> bool:
    if listed.port is not None and asked.port != listed.port:
        return False
    return asked.host.endswith(listed.host) if listed.host.startswith(".") else asked.host == listed.host


def _is_loopback(host: str) -> bool:
    if host == _LOOPBACK_NAME:
        return True
    address = _address(host)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    """An IPv6 address as it stands in a URL."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
