"""Where Redis is, as its URL says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Command = tuple[str | bytes | int, ...]

_DEFAULT_PORT: Final = 6379
_EXPECTED: Final = (
    "must look like redis://user:password@host:6379/0, rediss:// for TLS, redis://host:6379,host:6379 for a cluster,"
    " or unix:///path/of/socket?db=0; signs such as / ? # @ in a password are written as %2F %3F %23 %40"
)


class Address(NamedTuple):
    """A host and a port, or the path of a socket and port 0."""

    host: str
    port: int

    @property
    def is_path(self) -> bool:
        """Whether it is a socket of this machine."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        return self.host if self.is_path else f"{self.host}:{self.port}"


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
        """Reads `redis[s]://[user:password@]host[:port][,host[:port]…][/database]` or `unix://[…@]/path[?db=database]`.

        Raises:
            ValueError: the URL is none of these; the message does not repeat its password.
        """
        try:
            parts = urlsplit(url)
        except ValueError:  # its text holds the password
            raise ValueError(_EXPECTED) from None
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        addresses, database = _socket(parts, hosts) if parts.scheme == "unix" else _hosts(parts, hosts)
        if not (database.isascii() and database.isdigit()):
            raise ValueError(_EXPECTED)
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


def _hosts(parts: SplitResult, hosts: str) -> tuple[tuple[Address, ...], str]:
    if parts.scheme not in {"redis", "rediss"}:
        raise ValueError(_EXPECTED)
    return tuple(_address(host) for host in hosts.split(",")), parts.path.strip("/") or "0"


def _socket(parts: SplitResult, hosts: str) -> tuple[tuple[Address, ...], str]:
    """A path holds `?`, `#` and `%` as `%3F`, `%23` and `%25`."""
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = query.pop("db", "0")
    if hosts or query or parts.fragment or not parts.path.startswith("/"):
        raise ValueError(_EXPECTED)
    return (Address(unquote(parts.path), 0),), database


def _address(text: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError(_EXPECTED)
    return Address(host, port or _DEFAULT_PORT)
