"""Where Redis is, as its URL says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

Command = tuple[str | bytes | int, ...]

_DEFAULT_PORT: Final = 6379
_EXPECTED: Final = (
    "must look like redis://user:password@host:6379/0, rediss:// for TLS, or redis://host:6379,host:6379 for a cluster;"
    " signs such as / ? # @ in a password are written as %2F %3F %23 %40"
)


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Redis, or nodes of a Redis Cluster, are, and how to log in."""

    addresses: tuple[Address, ...]
    tls: bool
    username: str
    password: str
    database: int

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Reads `redis[s]://[user:password@]host[:port][,host[:port]…][/database]`.

        Raises:
            ValueError: the URL is none of these; the message does not repeat its password.
        """
        try:
            parts = urlsplit(url)
        except ValueError:  # its text holds the password
            raise ValueError(_EXPECTED) from None
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        database = parts.path.strip("/") or "0"
        if parts.scheme not in {"redis", "rediss"} or not database.isdigit():
            raise ValueError(_EXPECTED)
        addresses = tuple(_address(host) for host in hosts.split(","))
        if len(addresses) > 1 and int(database):
            raise ValueError(f"names several hosts, so a cluster, which has database 0 only; leave out `/{database}`")
        return cls(
            addresses=addresses,
            tls=parts.scheme == "rediss",
            username=unquote(username),
            password=unquote(password),
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
        return ",".join(map(str, self.addresses))


def _address(text: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError(_EXPECTED)
    return Address(host, port or _DEFAULT_PORT)
