"""Slots: whoever waits for one hears when the last is given back, even while no server answers."""

import asyncio

from troupe.orchestrator.worker.slots import Slots


async def test_a_waiter_hears_of_the_last_slot_that_comes_back_while_there_is_no_capacity() -> None:
    slots = Slots(1)
    slots.take(1)
    waiting = asyncio.create_task(slots.wait())
    await asyncio.sleep(0)
    slots.resize(0)
    slots.give(1)
    async with asyncio.timeout(1):
        await waiting
    slots.resize(1)
    assert slots.free == 1


async def test_a_waiter_hears_that_there_is_more_capacity() -> None:
    slots = Slots(1)
    slots.take(1)
    waiting = asyncio.create_task(slots.wait())
    await asyncio.sleep(0)
    slots.resize(2)
    async with asyncio.timeout(1):
        await waiting


async def test_a_slot_that_comes_back_while_others_are_taken_wakes_a_waiter() -> None:
    slots = Slots(2)
    slots.take(2)
    waiting = asyncio.create_task(slots.wait())
    await asyncio.sleep(0)
    slots.give(1)
    async with asyncio.timeout(1):
        await waiting
