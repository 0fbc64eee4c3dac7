"""Where the services of a stack listen."""

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from troupe.core.addresses import LOOPBACK, HostPort
from troupe.local.errors import StackError
from troupe.local.launch import free_port

_NAME: Final = "ports.json"


class Ports:
    """Hands out each port once.

    One that a person asks for is taken or refused. Of the others the port of the last time comes first, then the
    usual one; where both are taken a free one follows.
    """

    def __init__(
        self,
        *,
        note: Callable[[str], None],
        wanted: Mapping[str, HostPort] | None = None,
        last: Mapping[str, int] | None = None,
        prefer_usual: bool = True,
    ) -> None:
        """`wanted` and `last` are by the name of the service; port 0 asks for a free one."""
        self._note = note
        self._wanted = wanted or {}
        self._last = last or {}
        self._prefer_usual = prefer_usual
        self._kept = _each_once(self._wanted)
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> Mapping[str, int]:
        """What was handed out, by name."""
        return self._taken

    def take(self, name: str, usual: int = 0) -> HostPort:
        """Where `name` is to listen; says so when it is not where it was expected.

        Raises:
            StackError: the port that was asked for cannot be had.
        """
        wanted = self._wanted.get(name, HostPort(LOOPBACK, 0))
        _claim(name, wanted)
        port = wanted.port or self._choose(name, wanted.host, usual)
        self._taken[name] = port
        return HostPort(wanted.host, port)

    def _choose(self, name: str, host: str, usual: int) -> int:
        expected = [port for port in (self._last.get(name, 0), usual if self._prefer_usual else 0) if port]
        unused = [port for port in expected if port not in self._in_use]
        port = next((port for port in unused if problem(HostPort(host, port)) is None), 0) or self._free(host)
        if expected and port != expected[0]:
            self._note(f"port {expected[0]} is taken: {name} listens on {port}")
        return port

    def _free(self, host: str) -> int:
        while True:
            port = free_port()
            if port not in self._in_use and problem(HostPort(host, port)) is None:
                return port

    @property
    def _in_use(self) -> set[int]:
        return {*self._kept, *self._taken.values()}


def problem(address: HostPort) -> OSError | None:
    """Why nobody can listen there now; None when one can."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.bare_host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return error
    return None


def read_ports(folder: Path) -> Mapping[str, int]:
    """The ports of the last stack of a data directory; empty when there was none or its file cannot be read."""
    try:
        ports = json.loads((folder / _NAME).read_text())
        return {str(name): port for name, port in ports.items() if isinstance(port, int) and 0 < port < 1 << 16}
    except (OSError, ValueError, AttributeError):
        return {}


def write_ports(folder: Path, ports: Mapping[str, int]) -> None:
    """Keeps them for the next time.

    Raises:
        StackError: the file cannot be written.
    """
    fresh = folder / f"{_NAME}.tmp"
    try:
        fresh.write_text(json.dumps(ports, indent=2) + "\n")
        fresh.replace(folder / _NAME)
    except OSError as error:
        raise StackError(f"{str(folder / _NAME)!r} cannot be written: {error.strerror}") from None


def _claim(name: str, address: HostPort) -> None:
    if (error := problem(address)) is not None:
        raise StackError(
            f"{name} cannot listen on {address}, as it was told to: {error.strerror}; end what listens there, or name"
            " another port"
        )


def _each_once(wanted: Mapping[str, HostPort]) -> set[int]:
    names: dict[int, str] = {}
    for name, address in wanted.items():
        if address.port and (other := names.setdefault(address.port, name)) != name:
            raise StackError(f"{other} and {name} are both told to listen on port {address.port}: name another for one")
    return set(names)
