"""A Redis Cluster: commands go to the master of their key's slot, and follow it when it moves.

A command is repeated only when a node said that it did not run it, or when it was not sent; one whose connection was
cut may have run, and what to do then is for the caller to say.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from troupe.orchestrator.redis.connection import Connection, NotRunError, ReplyError
from troupe.orchestrator.redis.endpoint import Address, Command, Endpoint
from troupe.orchestrator.redis.hash_slots import SLOTS, ask_target, key_of, key_slot, masters_and_replicas
from troupe.orchestrator.redis.node import Node

# Before each repetition, about a second in all; a failover takes longer, and callers try again by themselves.
_PAUSES_SECONDS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
_PATIENCE_SECONDS: Final = 1.0
_MAP_TIMEOUT_SECONDS: Final = 1.0
_KNOWS_THE_MASTER: Final = ("MOVED ", "READONLY", "UNBLOCKED")


class RedisCluster:
    """A `Topology` of many masters, each with a shared connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._nodes: dict[Address, Node] = {}
        self._masters: list[Node] = []
        self._holders: list[Node | None] = [None] * SLOTS
        self._stale = True
        self._witness: Node | None = None
        self._refreshing = asyncio.Lock()

    async def execute(self, command: Command) -> Any:
        """Runs one command where its key is; one without a key anywhere, SCRIPT on every master."""
        key = key_of(command)
        if key is None and command[0] == "SCRIPT":
            return await self._execute_everywhere(command)
        if (connection := self._ready(key)) is not None:
            try:
                return await connection.send(command)
            except NotRunError:
                pass
        return (await self.execute_adjacently([command]))[0]

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands together; those that a node does not run are repeated one by one, after the others."""
        keys = [key_of(command) for command in commands]
        await self._connect(keys)
        pairs = zip(commands, keys, strict=True)
        sent = [c.send(command) if (c := self._ready(key)) else _not_sent() for command, key in pairs]
        replies: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, NotRunError):
                raise reply
        return [
            (await self.execute_adjacently([command]))[0] if isinstance(reply, NotRunError) else reply
            for command, reply in zip(commands, replies, strict=True)
        ]

    async def execute_adjacently(self, commands: Sequence[Command]) -> list[Any]:
        """Runs commands of one slot, nothing between them; repeats all of them when the first was refused."""
        keys = [key for command in commands if (key := key_of(command)) is not None]
        if len({key_slot(key) for key in keys}) > 1:
            raise ReplyError(f"CROSSSLOT the keys {keys!r} do not belong to one hash slot")
        key = keys[0] if keys else None
        began = time.monotonic()
        pauses = iter(_PAUSES_SECONDS)
        asking: Node | None = None
        while True:
            node = asking
            try:
                if node is not None:
                    return (await node.execute_all([("ASKING",), *commands]))[1:]
                node = await self._holder(key)
                return await node.execute_all(commands)
            except NotRunError as error:
                pause = next(pauses, None)
                if pause is None or time.monotonic() - began > _PATIENCE_SECONDS:
                    raise
                asking = self._asked(node, error.refusal, commands)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def node(self, key: str | bytes) -> Node:
        """The master that holds a key."""
        return await self._holder(key)

    def read_groups(self, keys: Sequence[str]) -> list[list[str]]:
        """Keys by slot."""
        groups: dict[int, list[str]] = defaultdict(list)
        for key in keys:
            groups[key_slot(key)].append(key)
        return list(groups.values())

    def close(self) -> None:
        """Closes all shared connections."""
        for node in self._nodes.values():
            node.close()

    async def _execute_everywhere(self, command: Command) -> Any:
        """A master that is down gets nothing: it, or who follows it, will answer NOSCRIPT."""
        await self._refresh()
        replies = await asyncio.gather(*(node.execute(command) for node in self._masters), return_exceptions=True)
        for reply in replies:
            if not isinstance(reply, BaseException):
                return reply
        raise replies[0]

    def _ready(self, key: str | bytes | int | None) -> Connection | None:
        """A connection that can be used at once; the map may be old, then the node will say so."""
        if key is None:
            return next((ready for node in self._masters if (ready := node.ready) is not None), None)
        node = self._holders[key_slot(key)]
        return None if node is None else node.ready

    async def _holder(self, key: str | bytes | int | None) -> Node:
        """The master of a key as the newest map has it."""
        await self._refresh()
        node = random.choice(self._masters) if key is None else self._holders[key_slot(key)]  # noqa: S311
        if node is None:
            self._stale = True
            raise NotRunError(f"no node of the Redis Cluster holds the slot of {key!r}")
        return node

    async def _connect(self, keys: Sequence[str | bytes | int | None]) -> None:
        """Connects to the masters of keys; one that cannot be reached stays without."""
        if all(self._ready(key) for key in keys):
            return
        nodes = {await self._holder(key) for key in keys}
        await asyncio.gather(*(node.connection() for node in nodes), return_exceptions=True)

    def _asked(self, node: Node | None, refusal: str, commands: Sequence[Command]) -> Node | None:
        """Where ASK sends commands. No transaction can follow: ASKING holds for one command only. It waits."""
        target = None if node is None else ask_target(refusal, node.address)
        return None if target is None or commands[0][0] == "MULTI" else self._node(target)

    def _lost(self, node: Node, refusal: str) -> None:
        """Who says that another is the master knows the map; who is cut off from the others does not."""
        self._stale = True
        self._witness = node if refusal.startswith(_KNOWS_THE_MASTER) else None

    async def _refresh(self) -> None:
        """Reads the map of slots when it is old."""
        if not self._stale:
            return
        async with self._refreshing:
            if not self._stale:
                return
            problem = ""
            for node in self._sources():
                try:
                    async with asyncio.timeout(_MAP_TIMEOUT_SECONDS):
                        reply = await node.execute(("CLUSTER", "SLOTS"))
                except (OSError, ReplyError) as error:
                    problem = str(error) or "no answer"
                    continue
                if reply:
                    self._learn(reply, node.address)
                    return
            raise NotRunError(f"no node of the Redis Cluster at {self._endpoint} says who holds what: {problem}")

    def _sources(self) -> list[Node]:
        """Whom to ask for the map: those who likely answer first, in the end the URL's hosts."""
        seeds = [self._node(address) for address in self._endpoint.addresses]
        nodes = list(self._nodes.values())
        random.shuffle(nodes)
        nodes.sort(key=lambda node: (node is not self._witness, node.ready is None, node in seeds))
        return nodes

    def _learn(self, reply: Any, asked: Address) -> None:
        holders: list[Node | None] = [None] * SLOTS
        masters: dict[Address, Node] = {}
        known: set[Address] = set()
        for slots, (master, *replicas) in masters_and_replicas(reply, asked):
            node = masters[master] = self._node(master)
            holders[slots.start : slots.stop] = [node] * len(slots)
            known.update((master, *replicas))
            for replica in replicas:
                self._node(replica)
        for address in self._nodes.keys() - known:
            if not self._nodes[address].busy:
                self._nodes.pop(address).close()
        self._holders, self._masters, self._stale, self._witness = holders, list(masters.values()), False, None

    def _node(self, address: Address) -> Node:
        if address not in self._nodes:
            self._nodes[address] = Node(self._endpoint, address, on_lost=self._lost)
        return self._nodes[address]


def _not_sent() -> "asyncio.Future[Any]":
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    reply.set_exception(NotRunError("no connection to the node"))
    return reply
