"""Who listens on this machine, as the kernel has it (proc(5), `/proc/net/tcp`)."""

import ipaddress
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from troupe.core.addresses import LOOPBACK, HostPort

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_TABLES: Final = ("tcp", "tcp6")
_LISTENING: Final = "0A"
_ORCHESTRATOR: Final = ("-m", "troupe.orchestrator")
_LISTEN_VARIABLE: Final = "TROUPE_ORCHESTRATOR__SERVER__LISTEN="


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that accepts connections, and the user who made it."""

    host: IPAddress
    port: int
    uid: int


def owner_of(address: str, listeners: Sequence[Listener]) -> int | None:
    """Whose server answers at `host:port`; None when nobody does, or when it is not on this machine's loopback.

    A socket of the very address is asked before one of all addresses.
    """
    try:
        where = HostPort.parse(address)
        host = ipaddress.ip_address(LOOPBACK if where.host == "localhost" else where.bare_host)
    except ValueError:
        return None
    if not host.is_loopback:
        return None
    fitting = [one for one in listeners if one.port == where.port and one.host in (host, *_everywhere(host))]
    fitting.sort(key=lambda one: one.host != host)
    return fitting[0].uid if fitting else None


def listeners() -> Sequence[Listener]:
    """All of them; none where the kernel does not tell."""
    return [listener for table in _TABLES for line in _lines(table) if (listener := parse(line)) is not None]


def parse(line: str) -> Listener | None:
    """One line of a table; None for what does not listen."""
    fields = line.split()
    if len(fields) < 8 or fields[3] != _LISTENING:
        return None
    host, _, port = fields[1].partition(":")
    return Listener(_address(bytes.fromhex(host)), int(port, 16), int(fields[7]))


def own_orchestrators() -> Sequence[str]:
    """Where orchestrators of this user were told to listen, whichever stack they belong to."""
    return sorted({where for process in Path("/proc").glob("[0-9]*") if (where := _reached(_listens(process)))})


def _listens(process: Path) -> str:
    try:
        if process.stat().st_uid != os.geteuid():
            return ""
        if tuple((process / "cmdline").read_text(errors="replace").split("\0")[1:3]) != _ORCHESTRATOR:
            return ""
        variables = (process / "environ").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return ""
    return next((v.removeprefix(_LISTEN_VARIABLE) for v in variables if v.startswith(_LISTEN_VARIABLE)), "")


def _reached(listen: str) -> str:
    try:
        return str(HostPort.parse(listen).reachable)
    except ValueError:
        return ""


def _everywhere(host: IPAddress) -> Sequence[IPAddress]:
    """All addresses of the kind; a socket of all IPv6 addresses takes IPv4 as well, unless told otherwise."""
    any_ipv6 = ipaddress.IPv6Address(0)
    return (any_ipv6,) if host.version == 6 else (ipaddress.IPv4Address(0), any_ipv6)


def _address(raw: bytes) -> IPAddress:
    """The kernel prints words of four bytes as this machine has them."""
    words = [raw[start : start + 4] for start in range(0, len(raw), 4)]
    address = ipaddress.ip_address(b"".join(int.from_bytes(word, "big").to_bytes(4, sys.byteorder) for word in words))
    return getattr(address, "ipv4_mapped", None) or address


def _lines(table: str) -> Iterator[str]:
    try:
        yield from Path("/proc/net", table).read_text().splitlines()[1:]
    except OSError:
        return
