"""The store of the deployment: one server, or three as a cluster, killed and restarted on their data."""

import asyncio
from pathlib import Path
from typing import Final

from tests.support.processes import running, until
from tests.support.redis import RedisServer, launch_on_port
from troupe.local.launch import Launch, free_port
from troupe.orchestrator.redis.connection import ReplyError
from troupe.orchestrator.redis.endpoint import Address, Endpoint
from troupe.orchestrator.redis.single import SingleRedis

_SLOTS: Final = 16384
# The bus of a cluster listens 10,000 ports higher.
_BUS_OFFSET: Final = 10_000
_HIGHEST_PORT: Final = 65_535 - _BUS_OFFSET


class RedisNode(RedisServer):
    """A server whose append-only file is synced with every write: nothing that was answered may be lost."""

    def __init__(self, *, data_dir: Path) -> None:
        data_dir.mkdir()
        super().__init__(data_dir=data_dir)
        while self.port > _HIGHEST_PORT:
            self.port = free_port()
        self._folder = data_dir
        self._options: dict[str, str] = {}
        self.busy = asyncio.Lock()
        self._client: SingleRedis | None = None

    def announce(self, port: int) -> None:
        """Makes it a node of a cluster, whose clients are sent to this port."""
        self._options = {
            "--cluster-enabled": "yes",
            "--cluster-announce-ip": "127.0.0.1",
            "--cluster-announce-port": str(port),
            "--cluster-announce-bus-port": str(self.port + _BUS_OFFSET),
        }

    async def up(self) -> None:
        """Starts it and returns when it serves."""
        launch = launch_on_port(self._folder, self.port, append_fsync="always")
        launch = Launch([*launch.argv, *(word for pair in self._options.items() for word in pair)], launch.env)
        self.process = self._stack.enter_context(running(launch, log=self._folder / "redis.log"))
        await until(self._serves)

    async def kill_now(self) -> None:
        """`kill -9`."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def shut_down(self) -> None:
        """SIGTERM, which is SHUTDOWN."""
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 20)

    async def execute(self, *command: str | bytes | int) -> object:
        """A command of the harness, past every proxy."""
        if self._client is None:
            self._client = SingleRedis(Endpoint.parse(self.url), Address("127.0.0.1", self.port))
        return await self._client.execute(command)

    async def close(self) -> None:
        """Ends it for good."""
        if self._client is not None:
            self._client.close()
        await asyncio.to_thread(self.stop)

    async def _serves(self) -> bool:
        try:
            await self.execute("PING")
        except ReplyError:
            return False
        return True


async def form_cluster(nodes: list[RedisNode]) -> None:
    """Spreads the slots over the nodes and lets them meet."""
    for place, node in enumerate(nodes):
        first, last = place * _SLOTS // len(nodes), (place + 1) * _SLOTS // len(nodes)
        await node.execute("CLUSTER", "ADDSLOTS", *range(first, last))
        await node.execute("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
    for node in nodes[1:]:
        await node.execute("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)

    async def formed() -> bool:
        replies = [await node.execute("CLUSTER", "INFO") for node in nodes]
        ready = (b"cluster_state:ok", b"cluster_known_nodes:%d" % len(nodes))
        return all(isinstance(reply, bytes) and all(line in reply for line in ready) for reply in replies)

    await until(formed)
