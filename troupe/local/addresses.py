"""Addresses as people give them: `host:port`."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from troupe.core.masking import masked

LOOPBACK: Final = "127.0.0.1"
HIGHEST_PORT: Final = 65_535
_TEXT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/@\[\],]+):(?P<port>\d{1,5})", re.ASCII)
# https://github.com/grpc/grpc/blob/master/doc/naming.md
_TARGET: Final = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|xds):\S+")
# Where "every interface of this machine" is reached from this machine.
_EVERYWHERE: Final = {"0.0.0.0": LOOPBACK, "[::]": "[::1]"}  # noqa: S104 - what people may have given


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, an IPv6 address in brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Reads `host:port`.

        Raises:
            ValueError: it is none.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None or int(found["port"]) > HIGHEST_PORT:
            raise ValueError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:7000")
        return cls(found["host"], int(found["port"]))

    @property
    def reachable(self) -> "HostPort":
        """The same for those who connect from this machine."""
        return HostPort(_EVERYWHERE.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def agent_address(text: str) -> str:
    """The address of an agent's server: `host:port` with a port above 0, or another target of gRPC.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    if _TARGET.fullmatch(text):
        return text
    if not (address := HostPort.parse(text)).port:
        raise ValueError(f"{text!r} has port 0: name the port on which the agent listens")
    return str(address)


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
