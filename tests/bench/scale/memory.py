"""What Redis keeps of tasks, and what that is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from troupe.orchestrator.redis.client import Command, RedisClient
from troupe.orchestrator.store.partitions import Partitions

_PARTITIONS: Final = Partitions(8)
_SAMPLE: Final = 500


@dataclass(frozen=True)
class Memory:
    """Bytes: all that Redis uses but its clients' buffers, and of that the live streams, which are bounded."""

    used: int
    live: int

    @property
    def kept(self) -> int:
        """What tasks account for, and the empty server."""
        return self.used - self.live


async def memory_of(redis: RedisClient) -> Memory:
    """As of now."""
    text = (await redis.execute("INFO", "memory")).decode()
    info = dict(line.split(":", 1) for line in text.split() if ":" in line)
    buffers = sum(int(info.get(name, 0)) for name in ("mem_clients_normal", "mem_aof_buffer"))
    live = sum(await _sizes(redis, [f"{prefix}:live" for prefix in _prefixes()]))
    return Memory(int(info["used_memory"]) - buffers, live)


async def makeup(redis: RedisClient, task_ids: Sequence[str], *, total: float) -> Mapping[str, float]:
    """Bytes of a task by what they are for, from a sample of tasks, where `total` is what a task takes in all."""
    tasks = len(task_ids)
    sample = task_ids[:: max(1, len(task_ids) // _SAMPLE)]
    keys = [f"{_PARTITIONS.prefix(_PARTITIONS.of_task(task_id) or 0)}:task:{task_id}" for task_id in sample]
    parts = {
        "its hash: plan, steps, state": await _mean(redis, keys),
        "its events": await _mean(redis, [f"{key}:log" for key in keys]),
        "its outputs": await _mean(redis, [f"{key}:out" for key in keys]),
        "its request id": await _mean(redis, await _request_keys(redis)),
        "its place in lists": sum(await _sizes(redis, [f"{p}:index:default" for p in _prefixes()])) / tasks,
        "when it expires": sum(await _sizes(redis, [f"{p}:expiring" for p in _prefixes()])) / tasks,
        "its deadline": sum(await _sizes(redis, [f"{p}:due" for p in _prefixes()])) / tasks,
    }
    return {**parts, "the tables of keys": total - sum(parts.values())}


async def _request_keys(redis: RedisClient) -> Sequence[str]:
    _, found = await redis.execute("SCAN", 0, "MATCH", "*:request:*", "COUNT", 10 * _SAMPLE)
    return [key.decode() for key in found]


async def _mean(redis: RedisClient, keys: Sequence[str]) -> float:
    sizes = await _sizes(redis, keys)
    return sum(sizes) / max(1, len(sizes))


async def _sizes(redis: RedisClient, keys: Sequence[str]) -> Sequence[int]:
    commands: list[Command] = [("MEMORY", "USAGE", key, "SAMPLES", 100) for key in keys]
    replies: Sequence[Any] = await redis.execute_all(commands)
    return [int(size or 0) for size in replies]


def _prefixes() -> Sequence[str]:
    return [_PARTITIONS.prefix(partition) for partition in _PARTITIONS.all()]
