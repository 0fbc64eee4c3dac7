"""One Redis process: the connection to it that all callers share, and connections of their own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from troupe.orchestrator.redis.connection import Connection, NotRunError, open_connection
from troupe.orchestrator.redis.endpoint import Address, Command, Endpoint


class Node:
    """Connects when first needed and again when cut. `on_lost`: as `Connection` has it, and when connecting fails."""

    def __init__(self, endpoint: Endpoint, address: Address, *, on_lost: "Callable[[Node, str], None]") -> None:
        self.address = address
        self._endpoint = endpoint
        self._on_lost = on_lost
        self._shared: Connection | None = None
        self._connecting = asyncio.Lock()
        self._failures = 0

    @property
    def ready(self) -> Connection | None:
        """The shared connection, when it can be used at once."""
        shared = self._shared
        return shared if shared is not None and shared.usable else None

    @property
    def busy(self) -> bool:
        """Whether someone waits for a reply."""
        return self._shared is not None and self._shared.busy

    async def connection(self) -> Connection:
        """The shared connection. Those who wait for one attempt to connect share its failure, too.

        Raises:
            NotRunError: the node cannot be reached.
        """
        if (ready := self.ready) is not None:
            return ready
        failures = self._failures
        async with self._connecting:
            if (ready := self.ready) is not None:
                return ready
            if failures != self._failures:
                raise NotRunError(f"cannot connect to Redis at {self.address}")
            try:
                self._shared = await self.open()
            except OSError:
                self._failures += 1
                raise
            return self._shared

    async def open(self) -> Connection:
        """A connection that its caller closes.

        Raises:
            NotRunError: the node cannot be reached.
        """
        try:
            return await open_connection(self._endpoint, self.address, on_lost=self._lost)
        except OSError:
            self._lost("")
            raise

    async def execute(self, command: Command) -> Any:
        """Sends one command on the shared connection."""
        return await (self.ready or await self.connection()).send(command)

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands one behind the other on the shared connection."""
        connection = self.ready or await self.connection()
        return list(await asyncio.gather(*[connection.send(command) for command in commands]))

    def close(self) -> None:
        """Closes the shared connection."""
        if self._shared is not None:
            self._shared.close()

    def _lost(self, refusal: str) -> None:
        self._on_lost(self, refusal)
