"""taskiq's client: kicks the first task and polls for the last one's result, which is all that the backend offers."""

import uuid
from functools import partial

import uvloop
from chain_tasks import broker, step_1
from chains import START, measure, submitted_first
from taskiq import AsyncTaskiqTask


async def kicked() -> AsyncTaskiqTask[str]:
    chain = uuid.uuid4().hex
    await step_1.kicker().with_task_id(chain + "-1").kiq(chain, START)
    return AsyncTaskiqTask(chain + "-3", broker.result_backend)


async def result_of(task: AsyncTaskiqTask[str], check_interval: float) -> str:
    return (await task.wait_result(check_interval=check_interval, timeout=60)).return_value


async def one() -> str:
    return await result_of(await kicked(), 0.0005)


async def submit():
    return partial(result_of, await kicked(), 0.005)


async def main() -> None:
    await broker.startup()
    await measure(one, submitted_first(submit))
    await broker.shutdown()


uvloop.run(main())
