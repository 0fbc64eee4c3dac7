"""The agents that a deployment has seen, remembered beyond the processes that saw them.

One hash for the whole deployment: the name of an agent, and packed when it was last seen, where, and what it said that
it is. So an agent whose server is away is told from a name that there never was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import msgpack

from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor
from troupe.orchestrator.redis.client import Command, RedisClient, ReplyError
from troupe.orchestrator.store.schema import DeploymentKey
from troupe.orchestrator.store.transitions import store_unavailable

_KEY: Final = DeploymentKey.AGENTS.key


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """An agent that was seen. `last_seen_ms` is by the clock of Redis, `age_ms` how long ago that was when recalled."""

    descriptor: AgentDescriptor
    address: str
    last_seen_ms: int = 0
    age_ms: int = field(default=0, compare=False)


class KnownAgents:
    """Remembers agents. Every method raises STORE_UNAVAILABLE while Redis is gone."""

    def __init__(self, redis: RedisClient, *, kept: timedelta) -> None:
        """`kept`: an agent that nobody saw for so long is forgotten."""
        self._redis = redis
        self._kept_ms = kept.total_seconds() * 1000

    async def remember(self, seen: Mapping[str, KnownAgent]) -> None:
        """Agents answer now."""
        if not seen:
            return
        try:
            now = await self._now_ms()
            rows: list[str | bytes] = []
            for name, agent in seen.items():
                packed: bytes = msgpack.packb((now, agent.address, agent.descriptor.SerializeToString()))
                rows += [name, packed]
            await self._redis.execute("HSET", _KEY, *rows)
        except (OSError, ReplyError) as error:
            raise store_unavailable(error) from None

    async def recall(self) -> Mapping[str, KnownAgent]:
        """All that are known, by name."""
        try:
            rows = await self._redis.execute("HGETALL", _KEY)
            now = await self._now_ms()
        except (OSError, ReplyError) as error:
            raise store_unavailable(error) from None
        found = {name.decode(): _agent(packed, now) for name, packed in zip(rows[::2], rows[1::2], strict=True)}
        known = {name: agent for name, agent in found.items() if agent.age_ms <= self._kept_ms}
        await self.forget([name for name in found if name not in known])
        return known

    async def forget(self, names: list[str]) -> None:
        """Agents that there are no more."""
        if not names:
            return
        command: Command = ("HDEL", _KEY, *names)
        try:
            await self._redis.execute(*command)
        except (OSError, ReplyError) as error:
            raise store_unavailable(error) from None

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._redis.execute("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def _agent(packed: bytes, now_ms: int) -> KnownAgent:
    last_seen_ms, address, descriptor = msgpack.unpackb(packed)
    return KnownAgent(AgentDescriptor.FromString(descriptor), address, last_seen_ms, now_ms - last_seen_ms)
