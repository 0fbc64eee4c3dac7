"""arq's client: enqueues the first job and polls for the result of the last."""

import asyncio
import uuid
from functools import partial

import uvloop
from arq import create_pool
from arq.jobs import Job
from chain_tasks import WorkerSettings
from chains import START, measure, submitted_first


async def submitted(redis) -> Job:
    chain = uuid.uuid4().hex
    await redis.enqueue_job("step_1", chain, START, _job_id=chain + "-1")
    return Job(chain + "-3", redis)


async def result_of(job: Job, poll_seconds: float) -> str:
    # Not `Job.result`: it raises as long as the job is not enqueued. Nothing but a poll tells of a result.
    while (info := await job.result_info()) is None:  # noqa: ASYNC110
        await asyncio.sleep(poll_seconds)
    return info.result


async def main() -> None:
    redis = await create_pool(WorkerSettings.redis_settings)

    async def one() -> str:
        return await result_of(await submitted(redis), 0.0005)

    async def submit():
        return partial(result_of, await submitted(redis), 0.005)

    await measure(one, submitted_first(submit))
    await redis.aclose()


uvloop.run(main())
