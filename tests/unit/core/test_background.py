"""Tasks that run beside what started them."""

import asyncio

import pytest

from troupe.core.background import background, stop


async def test_work_runs_beside_the_block_and_ends_with_it() -> None:
    said, began = list[str](), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("cleaned up")

    async with background(work(), name="beside") as task:
        await began.wait()
        assert task.get_name() == "beside"
    assert said == ["cleaned up"]
    assert task.cancelled()


async def test_how_work_ended_is_told_to_whoever_awaits_it() -> None:
    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with background(fails()) as task:
            await task
    async with background(fails()):
        await asyncio.sleep(0)


async def test_what_the_block_raises_goes_on() -> None:
    with pytest.raises(KeyError):
        async with background(asyncio.sleep(1000)):
            raise KeyError
    assert len(asyncio.all_tasks()) == 1


async def test_stopping_waits_for_all_and_takes_none() -> None:
    await stop()
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(1)
    ended = list[int]()

    async def late(number: int) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            for _ in range(number):
                await asyncio.sleep(0)
            ended.append(number)

    tasks = [asyncio.create_task(late(number)) for number in (3, 1, 2)]
    await asyncio.sleep(0)
    await stop(*tasks, done)
    assert sorted(ended) == [1, 2, 3]
