"""Celery's client: a canvas chain; the result arrives over the backend's publish and subscribe, so no poll decides."""

import asyncio

from celery import chain
from celery.exceptions import TimeoutError as NoResultYetError
from chain_tasks import step_1, step_2, step_3
from chains import START, check, measure


def submitted():
    return chain(step_1.s(START), step_2.s(), step_3.s()).apply_async()


def result_of(result) -> str:
    # It subscribes on one connection and reads the state on another without waiting for the first, so a result that
    # comes in between could be missed for good. Another `get` reads the state again.
    while True:
        try:
            return result.get(timeout=1, interval=0.001)
        except NoResultYetError:
            continue


async def one() -> str:
    return result_of(submitted())


async def many(count: int, concurrency: int) -> None:
    """All at once: faster than a number in flight, which a synchronous client would need threads for."""
    for result in [submitted() for _ in range(count)]:
        check(result_of(result))


asyncio.run(measure(one, many))
