"""What one Redis and a Redis Cluster have in common."""

from collections.abc import Sequence
from typing import Any, Protocol

from troupe.orchestrator.redis.endpoint import Command
from troupe.orchestrator.redis.node import Node


class Topology(Protocol):
    """Which node runs a command. Every method raises `OSError` when none does, `ReplyError` when it refuses."""

    async def execute(self, command: Command) -> Any:
        """Runs one command where its key is."""

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands together, each where its key is; the replies come in the order of the commands."""

    async def execute_adjacently(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands of one slot on one connection, nothing between them."""

    async def node(self, key: str | bytes) -> Node:
        """The node that holds a key."""

    def read_groups(self, keys: Sequence[str]) -> list[list[str]]:
        """Sets of keys that one blocking command may name together."""

    def close(self) -> None:
        """Closes all shared connections."""
