"""Looks at the clocks of the store: any worker does it for all."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger
from troupe.orchestrator import metrics
from troupe.orchestrator.directory import AgentDirectory
from troupe.orchestrator.store.attempts import AttemptStore, Ticked
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.patience import persistently


async def keep_time(
    store: AttemptStore, partitions: Partitions, directory: AgentDirectory, *, seconds: float, max_lost_leases: int
) -> None:
    """Looks at the clocks of every partition, again and again, until it is cancelled.

    Each has a task of its own: one whose node is gone holds up no other.
    """
    ticks: dict[int, Ticked] = {}
    async with asyncio.TaskGroup() as group:
        for partition in partitions.all():
            tick = partial(store.tick, partition, max_lost_leases=max_lost_leases)
            group.create_task(_keep(partition, tick, directory, ticks, seconds))
        while True:
            await asyncio.sleep(seconds)
            _measure(list(ticks.values()))


async def _keep(
    partition: int,
    tick: Callable[..., Awaitable[Ticked]],
    directory: AgentDirectory,
    ticks: dict[int, Ticked],
    seconds: float,
) -> None:
    while True:
        try:
            ticks[partition] = await persistently(lambda: tick(agents=sorted(directory.seen)))
        except TroupeError as error:
            get_logger().error("clocks not looked at", partition=partition, problem=error.message)
        else:
            _tell(partition, ticks[partition])
        await asyncio.sleep(seconds)


def _tell(partition: int, ticked: Ticked) -> None:
    metrics.RECLAIMED.inc(ticked.taken_over)
    if ticked.taken_over or ticked.timed_out or ticked.resent:
        get_logger().warning(
            "clocks",
            partition=partition,
            taken_over=ticked.taken_over,
            late=ticked.timed_out,
            resent=ticked.resent,
        )


def _measure(ticks: Sequence[Ticked]) -> None:
    metrics.STEPS_LEASED.set(sum(tick.leased for tick in ticks))
    metrics.STEPS_DELAYED.set(sum(tick.delayed for tick in ticks))
    ready: Counter[str] = Counter()
    lag: Counter[str] = Counter()
    open_tasks: Counter[str] = Counter()
    for tick in ticks:
        for agent, count in tick.ready.items():
            lag[metrics.AGENTS.bound(agent)] += count
            ready[metrics.AGENTS.bound(agent)] += count + tick.waiting[agent]
        for project, count in tick.open_tasks.items():
            open_tasks[metrics.PROJECTS.bound(project)] += count
    for gauge, counts in ((metrics.STEPS_READY, ready), (metrics.STREAM_LAG, lag), (metrics.TASKS_OPEN, open_tasks)):
        for label, count in counts.items():
            gauge.labels(label).set(count)
