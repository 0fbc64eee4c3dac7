"""A lean Redis client, for one Redis and for Redis Cluster: by URL alone.

The engine makes few, large calls and cancels many waits. General clients cost it more than Redis does, and lose
connections when a call is cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from troupe.orchestrator.redis.cluster import RedisCluster
from troupe.orchestrator.redis.connection import (
    REPLY_TIMEOUT_SECONDS,
    Connection,
    NotRunError,
    RefusedError,
    ReplyError,
)
from troupe.orchestrator.redis.endpoint import Command, Endpoint
from troupe.orchestrator.redis.single import SingleRedis
from troupe.orchestrator.redis.topology import Topology

__all__ = [
    "REPLY_TIMEOUT_SECONDS",
    "BlockingClient",
    "Command",
    "Endpoint",
    "RedisClient",
    "RefusedError",
    "ReplyError",
]


class RedisClient:
    """Commands over shared connections, which are made when first needed and again when cut.

    Every method raises `OSError` when Redis cannot be reached, does not answer or is failing over, `ReplyError` when
    it refuses.
    """

    def __init__(self, url: str) -> None:
        self.endpoint = Endpoint.parse(url)
        self._topology: Topology | None = None
        self._discovering = asyncio.Lock()

    async def execute(self, *command: str | bytes | int) -> Any:
        """Sends one command to the node that holds its first key, one without a key to any, and returns its reply.

        SCRIPT goes to every master.
        """
        return await (self._topology or await self._discovered()).execute(command)

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands together and returns their replies in order; others' may run between them."""
        return await (self._topology or await self._discovered()).execute_all(commands)

    async def execute_atomically(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands as one transaction; their keys share a slot."""
        topology = self._topology or await self._discovered()
        *_, replies = await topology.execute_adjacently([("MULTI",), *commands, ("EXEC",)])
        results: list[Any] = replies
        return results

    async def execute_replicated(self, replicas: int, timeout_ms: int, *command: str | bytes | int) -> Any:
        """Sends one command and returns its reply once so many replicas have it; commands behind it wait as well.

        Raises:
            OSError: also when too few have it in time; it ran, and may be lost when its node is.
        """
        topology = self._topology or await self._discovered()
        reply, count = await topology.execute_adjacently([command, ("WAIT", replicas, timeout_ms)])
        if count < replicas:
            raise ConnectionError(f"{count} of {replicas} replicas have the write after {timeout_ms} ms")
        return reply

    @asynccontextmanager
    async def blocking(self, key: str | bytes, *, reply_timeout_seconds: float) -> AsyncIterator["BlockingClient"]:
        """A connection of its own, to the node that holds a key, for commands that block.

        It is closed at the end, whatever runs on it. After an `OSError`, when the node is gone or holds the key no
        more, it is of no use.
        """
        node = await (self._topology or await self._discovered()).node(key)
        connection = await node.open()
        connection.reply_timeout_seconds = reply_timeout_seconds
        try:
            yield BlockingClient(connection)
        finally:
            connection.close()

    async def unblock(self, key: str | bytes, client_id: int) -> bool:
        """Ends, as its time limit would, the command that blocks a connection made for a key.

        False when none blocks it: it has ended, or has not begun yet.
        """
        node = await (self._topology or await self._discovered()).node(key)
        return bool(await node.execute(("CLIENT", "UNBLOCK", client_id)))

    async def read_groups(self, keys: Sequence[str]) -> list[list[str]]:
        """Sets of keys that one blocking command may name together."""
        return (self._topology or await self._discovered()).read_groups(keys)

    async def close(self) -> None:
        """Closes the shared connections."""
        if self._topology is not None:
            self._topology.close()

    async def _discovered(self) -> Topology:
        async with self._discovering:
            if self._topology is None:
                self._topology = await self._discover()
            return self._topology

    async def _discover(self) -> Topology:
        """Asks the first host that answers whether it is one Redis or a node of a cluster."""
        problem: OSError | None = None
        for address in self.endpoint.addresses:
            single = SingleRedis(self.endpoint, address)
            try:
                clustered = await _is_cluster(single)
            except OSError as error:
                single.close()
                problem = error
                continue
            if not clustered and len(self.endpoint.addresses) == 1:
                return single
            single.close()
            if clustered:
                return RedisCluster(self.endpoint)
            raise ReplyError(f"the Redis at {address} is no cluster, and its URL names others beside it; name one")
        raise problem or NotRunError("no address")


class BlockingClient:
    """One connection that only its owner uses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._identity: int | None = None

    async def execute(self, *command: str | bytes | int) -> Any:
        """Sends one command and returns its reply."""
        return await self._connection.send(command)

    def send(self, *command: str | bytes | int) -> "asyncio.Future[Any]":
        """Sends one command; the reply is for whoever waits for several connections at once."""
        return self._connection.send(command)

    async def identity(self) -> int:
        """The server's CLIENT ID of the connection; to be asked for first while nothing blocks it."""
        if self._identity is None:
            self._identity = int(await self.execute("CLIENT", "ID"))
        return self._identity


async def _is_cluster(single: SingleRedis) -> bool:
    try:
        await single.execute(("CLUSTER", "SLOTS"))
    except NotRunError as error:
        if error.refusal.startswith("NOPERM "):  # the user lacks CLUSTER
            return False
        raise
    except ReplyError as error:
        if str(error).startswith("ERR "):  # support is disabled, or the service lacks CLUSTER
            return False
        raise
    return True
