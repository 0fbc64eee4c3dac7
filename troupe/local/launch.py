"""What it takes to start a process."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Launch:
    """A command line with what it adds to the environment."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """The preferred port when it is free, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise OSError(f"no free port on {host!r}")
