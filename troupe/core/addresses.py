"""Addresses as people give them: `host:port`, targets of gRPC, and where a URL's server listens."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from troupe.core.masking import masked

LOOPBACK: Final = "127.0.0.1"
HIGHEST_PORT: Final = 65_535
_TEXT: Final = re.compile(r"(?:\[(?P<ipv6>[^\s\[\]/]+)\]|(?P<name>[^\s:/@\[\],%?#]+)):(?P<port>[0-9]{1,5})")
# The resolvers that gRPC's wheels for Python have: https://github.com/grpc/grpc/blob/master/doc/naming.md
# They lack `vsock`, which they would look up as the name of a host. Only paths of sockets may hold spaces.
_TARGET: Final = re.compile(r"(?:dns|ipv4|ipv6|xds):\S+|unix(?:-abstract)?:.+")
# Where "every interface of this machine" is reached from this machine.
_EVERYWHERE: Final = {"0.0.0.0": LOOPBACK, "[::]": "[::1]"}  # noqa: S104 - what people may have given


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, an IPv6 address in brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Reads `host:port`; port 0 is one, too. An IPv6 address may name its interface, as in `[fe80::1%eth0]:7000`.

        Raises:
            ValueError: it is none.
        """
        text = text.strip()
        found = _TEXT.fullmatch(text)
        if found is None or not text.isprintable() or int(found["port"]) > HIGHEST_PORT or not _is_host(found["ipv6"]):
            raise ValueError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:7000")
        return cls(found["name"] or f"[{found['ipv6']}]", int(found["port"]))

    @property
    def reachable(self) -> "HostPort":
        """The same for those who connect from this machine."""
        return HostPort(_EVERYWHERE.get(self.host, self.host), self.port)

    @property
    def bare_host(self) -> str:
        """The host as sockets take it: an IPv6 address without its brackets."""
        return self.host.strip("[]")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def server_address(text: str) -> HostPort:
    """Reads `host:port` of a server that others connect to.

    Raises:
        ValueError: it is none, or its port is 0.
    """
    address = HostPort.parse(text)
    if not address.port:
        raise ValueError(f"{text!r} has port 0: name the port on which the server listens")
    return address


def grpc_target(text: str) -> str:
    """Where a gRPC server is: `host:port` with a port above 0, or another target of gRPC.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    return text if _TARGET.fullmatch(text) and text.isprintable() else str(server_address(text))


def host_port(url: str, usual_port: int) -> HostPort:
    """Where the first host of a server's URL, or of `host:port`, listens.

    Raises:
        ValueError: it names no host or no possible port.
    """
    problem = (
        f"{masked(url)!r} names no host and port; signs such as / ? # @ in a password are written as %2F %3F %23 %40"
    )
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        first = parts.netloc.rpartition("@")[2].split(",")[0]
        parts = urlsplit(f"//{first}")
        name, port = parts.hostname, parts.port
    except ValueError:  # its text holds the password
        raise ValueError(problem) from None
    if not name:
        raise ValueError(problem)
    return HostPort(f"[{name}]" if ":" in name else name, port or usual_port)


def _is_host(ipv6: str | None) -> bool:
    """Whether what stands between brackets is an IPv6 address; None: there are no brackets."""
    try:
        return ipv6 is None or bool(ipaddress.IPv6Address(ipv6))
    except ValueError:
        return False
