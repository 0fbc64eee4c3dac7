"""A real Redis for tests."""

import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tests.support.processes import running
from troupe.local.launch import Launch, free_port
from troupe.local.servers.redis import SERVICE_RULES, redis_launch


class Redis(Protocol):
    """One Redis or a Redis Cluster that can be killed and started again on its data."""

    @property
    def url(self) -> str: ...

    @property
    def service_url(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


def launch_on_port(data_dir: Path, port: int, *, append_fsync: str = "everysec") -> Launch:
    """The bundled server on a port: tests may do everything, Troupe's services what `troupe up` allows them."""
    launch = redis_launch(data_dir=data_dir, listen=port, append_fsync=append_fsync)
    return Launch([*launch.argv, "--user", "services", "on", "nopass", *SERVICE_RULES], launch.env)


def as_services(url: str) -> str:
    """The URL with which services log in."""
    return url.replace("://", "://services:any@")


class RedisServer:
    """A server that can be killed and started again on its data."""

    def __init__(self, *, data_dir: Path, append_fsync: str = "everysec", env: Mapping[str, str] | None = None) -> None:
        """`env` is added to the process's environment."""
        self._env = env or {}
        self.port = free_port()
        self._data_dir = data_dir
        self._append_fsync = append_fsync
        self._stack = ExitStack()
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def service_url(self) -> str:
        return as_services(self.url)

    def start(self) -> None:
        launch = launch_on_port(self._data_dir, self.port, append_fsync=self._append_fsync)
        launch = replace(launch, env={**launch.env, **self._env})
        self.process = self._stack.enter_context(running(launch, log=self._data_dir / "redis.log"))
        while self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                continue
        raise AssertionError(f"the server ended with {self.process.returncode}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self._stack.close()
