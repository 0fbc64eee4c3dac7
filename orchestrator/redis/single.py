"""One Redis: every key is there."""

from collections.abc import Sequence
from typing import Any

from troupe.orchestrator.redis.endpoint import Address, Command, Endpoint
from troupe.orchestrator.redis.node import Node


class SingleRedis:
    """A `Topology` of one node. One that says it is a replica now is connected to anew: its name may have moved on."""

    def __init__(self, endpoint: Endpoint, address: Address) -> None:
        self._node = Node(endpoint, address, on_lost=lambda node, _: node.close())

    async def execute(self, command: Command) -> Any:
        """Runs one command."""
        return await (self._node.ready or await self._node.connection()).send(command)

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands together."""
        return await self._node.execute_all(commands)

    async def execute_adjacently(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands, nothing between them."""
        return await self._node.execute_all(commands)

    async def node(self, key: str | bytes) -> Node:
        """The node."""
        return self._node

    def read_groups(self, keys: Sequence[str]) -> list[list[str]]:
        """All keys in one group."""
        return [list(keys)]

    def close(self) -> None:
        """Closes the shared connection."""
        self._node.close()
