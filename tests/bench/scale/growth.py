"""What a task costs when so many are kept."""

import asyncio
import math
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.scale.calls import Latency, call_latencies, failed_page
from tests.bench.scale.costs import Cost, Meter
from tests.bench.scale.load import Load
from tests.bench.scale.memory import Memory, makeup, memory_of
from tests.bench.scale.processes import ORCHESTRATOR, Deployment, deployed
from tests.support.engine import spec

CHAIN: Final = spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]), ("c", "noop", "x", ["b"]))
_WARM_UP: Final = 500
_UNDER_WAY: Final = 200
_READING: Final = 200
_ROUNDS: Final = 3
_UNKNOWN: Final = Cost(math.nan, {})


@dataclass(frozen=True)
class Size:
    """The figures at so many tasks.

    `memory` is in bytes a task, all of them counted; `small` is what a task costs at the same time where few are kept,
    and `ratio` is of the CPU.
    """

    tasks: int
    memory: float
    live_bytes: int
    calls: Mapping[str, Latency]
    failed_page_ms: float
    orchestrator_mib: float
    makeup: Mapping[str, float]
    cost: Cost = _UNKNOWN
    small: Cost = _UNKNOWN
    ratio: float = math.nan


async def finished(folder: Path, sizes: Sequence[int]) -> AsyncIterator[Size]:
    """Runs chains until so many are kept, and more; takes the figures at each size.

    A machine's speed changes within minutes, so what a task costs is also measured on a second deployment that keeps
    few tasks, in turns with the first.
    """
    async with deployed(folder / "growing") as deployment, deployed(folder / "small") as small:
        empty = await memory_of(deployment.redis)
        ids = [*await Load(CHAIN, _WARM_UP, _UNDER_WAY).run(deployment.stub)]
        await Load(CHAIN, _WARM_UP, _UNDER_WAY).run(small.stub)
        for size in sizes:
            ids += await Load(CHAIN, max(0, size - len(ids)), _UNDER_WAY).run(deployment.stub)
            figures = await _figures(deployment, ids, empty)
            costs, of_small = list[Cost](), list[Cost]()
            for _ in range(_ROUNDS):
                ids += await _run(deployment, costs)
                await _run(small, of_small)
            pairs = zip(costs, of_small, strict=True)
            ratio = statistics.median(cost.total_cpu_us / other.total_cpu_us for cost, other in pairs)
            yield replace(figures, cost=Cost.median(costs), small=Cost.median(of_small), ratio=ratio)


async def _run(deployment: Deployment, costs: list[Cost]) -> Sequence[str]:
    meter = Meter(deployment, every=_READING)
    ids = await Load(CHAIN, 3 * _READING, _UNDER_WAY, completed=meter.note).run(deployment.stub)
    costs.append(Cost.median(meter.costs))
    return ids


async def queued(folder: Path, count: int) -> tuple[Size, Cost]:
    """Submits chains while there is no worker and takes the figures; then what a task costs to be worked off."""
    async with deployed(folder, worker=False) as deployment, asyncio.TaskGroup() as group:
        empty = await memory_of(deployment.redis)
        all_accepted = asyncio.Event()
        submitting, working = (Meter(deployment, every=min(_READING, count // 2)) for _ in range(2))

        def accepted(number: int) -> None:
            submitting.note(number)
            if number == count:
                all_accepted.set()

        load = Load(CHAIN, count, count, accepted=accepted, completed=working.note)
        running = group.create_task(load.run(deployment.stub))
        await all_accepted.wait()
        size = replace(await _figures(deployment, [*load.ids], empty), cost=Cost.median(submitting.costs))
        deployment.start_worker("127.0.0.1:0")
        working.restart()
        await running
    return size, Cost.median(working.costs)


async def _figures(deployment: Deployment, ids: list[str], empty: Memory) -> Size:
    memory, tasks = await memory_of(deployment.redis), len(ids)
    each = (memory.kept - empty.kept) / tasks
    return Size(
        tasks=tasks,
        memory=each,
        live_bytes=memory.live,
        makeup=await makeup(deployment.redis, ids, total=each),
        calls=await call_latencies(deployment.stub, CHAIN, ids),
        failed_page_ms=await failed_page(deployment.stub),
        orchestrator_mib=deployment.resident_mib(ORCHESTRATOR),
    )
