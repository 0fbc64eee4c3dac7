"""Three no-op jobs, each of which enqueues the next: arq has no chains of its own."""

import os

from arq.connections import RedisSettings


async def step_1(ctx, chain, value):
    await ctx["redis"].enqueue_job("step_2", chain, value + "1", _job_id=chain + "-2")


async def step_2(ctx, chain, value):
    await ctx["redis"].enqueue_job("step_3", chain, value + "2", _job_id=chain + "-3")


async def step_3(ctx, chain, value):
    return value + "3"


class WorkerSettings:
    functions = (step_1, step_2, step_3)
    redis_settings = RedisSettings.from_dsn(os.environ["PEER_REDIS"])
    poll_delay = 0.002
    max_jobs = 50
