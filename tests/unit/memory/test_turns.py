"""Places are shared fairly between owners, and nothing is lost when some give up."""

import asyncio

from tests.support.processes import reached
from troupe.agents.memory.turns import Turns


async def hold(turns: Turns, owner: str, log: list[str], release: asyncio.Event) -> None:
    async with turns.turn(owner):
        log.append(owner)
        await release.wait()


async def test_one_owner_leaves_a_place_for_others() -> None:
    turns, log, release = Turns(3), list[str](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(hold(turns, "greedy", log, release))
        await reached(lambda: len(log) == 2)
        group.create_task(hold(turns, "modest", log, release))
        await reached(lambda: len(log) == 3)
        assert log == ["greedy", "greedy", "modest"]
        release.set()
    assert log.count("greedy") == 10


async def test_owners_take_turns() -> None:
    turns, log = Turns(1), list[str]()
    releases = {owner: asyncio.Event() for owner in "abc"}
    async with asyncio.TaskGroup() as group:
        for owner in "aaaabc":
            group.create_task(hold(turns, owner, log, releases[owner]))
        await reached(lambda: len(log) == 1)
        for release in releases.values():
            release.set()
    assert log == ["a", "a", "b", "c", "a", "a"]


async def test_those_who_give_up_take_no_place() -> None:
    turns, log, release = Turns(2), list[str](), asyncio.Event()
    holders = [asyncio.create_task(hold(turns, owner, log, release)) for owner in "ab"]
    await reached(lambda: len(log) == 2)
    waiting = [asyncio.create_task(hold(turns, "c", log, release)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    holders[0].cancel()
    await asyncio.gather(*waiting, holders[0], return_exceptions=True)
    async with turns.turn("d"):
        release.set()
    await holders[1]


async def test_a_place_handed_out_to_one_who_gives_up_goes_on() -> None:
    turns = Turns(1)
    async with turns.turn("a"):
        task = asyncio.create_task(hold(turns, "b", [], asyncio.Event()))
        await asyncio.sleep(0)
    task.cancel()  # its place was handed out, but it has not run since
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60), turns.turn("c"):
        pass
