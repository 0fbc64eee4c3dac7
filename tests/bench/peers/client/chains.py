"""The clients' common part, imported by each peer's own Python: takes the times and prints them as JSON lines.

    python client.py latencies COUNT
    python client.py throughput COUNT CONCURRENCY

Prints `{"ready": true}` after a warm-up and starts at a line on its input, so that several clients start together. Then
prints `{"latencies_ms": [...]}` or `{"began_s": ..., "ended_s": ...}` on the machine's monotonic clock.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

START, RESULT = "x", "x123"
"""Each of the steps 1, 2, 3 appends its number: the result shows that all ran, once, in order."""
WARM_UP = 30

One = Callable[[], Awaitable[str]]
Many = Callable[[int, int], Awaitable[None]]


def check(result: object) -> None:
    if result != RESULT:
        raise ValueError(f"the chain ended with {result!r}, not {RESULT!r}")


def in_flight(one: One) -> Many:
    """Runs chains with a fixed number in flight."""

    async def many(count: int, concurrency: int) -> None:
        left = iter(range(count))

        async def lane() -> None:
            for _ in left:
                check(await one())

        async with asyncio.TaskGroup() as lanes:
            for _ in range(concurrency):
                lanes.create_task(lane())

    return many


def submitted_first(submit: Callable[[], Awaitable[One]]) -> Many:
    """Submits all, a number at a time, and then waits for one result after the other.

    For peers whose results are polled for: many polls at once would take the workers' time.
    """

    async def many(count: int, concurrency: int) -> None:
        limit = asyncio.Semaphore(concurrency)

        async def limited() -> One:
            async with limit:
                return await submit()

        for result in await asyncio.gather(*(limited() for _ in range(count))):
            check(await result())

    return many


async def measure(one: One, many: Many) -> None:
    """Does what the command line says."""
    mode, count, *rest = sys.argv[1:]
    if mode == "latencies":
        for _ in range(WARM_UP):
            check(await one())
        _await_start()
        say({"latencies_ms": [await _milliseconds(one) for _ in range(int(count))]})
    else:
        concurrency = int(rest[0])
        await many(max(WARM_UP, concurrency), concurrency)
        _await_start()
        began = time.monotonic()
        await many(int(count), concurrency)
        say({"began_s": began, "ended_s": time.monotonic()})


def _await_start() -> None:
    say({"ready": True})
    sys.stdin.readline()


async def _milliseconds(one: One) -> float:
    began = time.monotonic()
    result = await one()
    elapsed = (time.monotonic() - began) * 1000
    check(result)
    return elapsed


def say(message: object) -> None:
    print(json.dumps(message), flush=True)
