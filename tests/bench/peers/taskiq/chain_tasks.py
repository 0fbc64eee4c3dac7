"""Three no-op tasks on Redis streams, each kicks the next; acknowledged when the result is saved (its default).

Kicking cost less than `taskiq-pipelines`, whose middleware parses the rest of the pipeline after each task.
"""

import os

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["PEER_REDIS"]
broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=600))


@broker.task
async def step_1(chain: str, value: str) -> None:
    await step_2.kicker().with_task_id(chain + "-2").kiq(chain, value + "1")


@broker.task
async def step_2(chain: str, value: str) -> None:
    await step_3.kicker().with_task_id(chain + "-3").kiq(value + "2")


@broker.task
async def step_3(value: str) -> str:
    return value + "3"
