"""What it takes to start a process."""

import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

# Below what Linux gives to outgoing connections, as is 10,000 above, where the nodes of a Redis Cluster meet.
_UNASSIGNED: Final = range(12_000, 22_700)
_RANDOM: Final = random.SystemRandom()  # no seed of a program may make two processes draw the same


@dataclass(frozen=True)
class Launch:
    """A command line with what it adds to the environment."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """The preferred port when it is free, else any free one.

    Nobody holds it until its server is up. So it is drawn from those that systems do not give to outgoing connections,
    one of which would else take it meanwhile.
    """
    drawn = _RANDOM.sample(_UNASSIGNED, 100)
    for port in (preferred, *drawn) if preferred else drawn:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port on {host!r}")
