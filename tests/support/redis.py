"""A real Redis for tests."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.processes import running
from troupe.local.launch import free_port
from troupe.local.servers.redis import redis_launch


class RedisServer:
    """A redis-server that can be killed and started again on its data."""

    def __init__(self, *, data_dir: Path) -> None:
        self.port = free_port()
        self._data_dir = data_dir
        self._stack = ExitStack()
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        launch = redis_launch(data_dir=self._data_dir, port=self.port)
        self.process = self._stack.enter_context(running(launch, log=self._data_dir / "redis.log"))
        while self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                continue
        raise AssertionError(f"redis-server ended with {self.process.returncode}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the whole session; whoever kills it starts it again."""
    server = RedisServer(data_dir=tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()
