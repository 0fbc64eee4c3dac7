"""Room for large messages: shared, waited for in turn, and taken from who does not read."""

import asyncio
from contextlib import suppress

from tests.support.processes import reached
from troupe.orchestrator.watch.large_messages import LargeMessages


class Sending:
    """A stream that sends a message to a client which may or may not read."""

    def __init__(self, room: LargeMessages, size_bytes: int) -> None:
        self.sends = False
        self.read = asyncio.Event()
        self.task = asyncio.create_task(self._send(room, size_bytes))

    async def _send(self, room: LargeMessages, size_bytes: int) -> None:
        async with room.room(size_bytes):
            self.sends = True
            await self.read.wait()

    async def end(self) -> None:
        self.read.set()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_messages_share_the_room_and_wait_in_turn() -> None:
    room = LargeMessages(capacity_bytes=100, patience_seconds=60)
    sending = [Sending(room, size) for size in (60, 40, 90, 10, 5)]
    await reached(lambda: sending[1].sends)
    assert [one.sends for one in sending] == [True, True, False, False, False]
    assert not room.makes_room(1), "who comes later does not pass those who wait"
    await sending[0].end()
    assert not sending[2].sends
    await sending[1].end()
    await reached(lambda: sending[3].sends)
    assert [one.sends for one in sending[2:]] == [True, True, False]
    for one in sending[2:]:
        await one.end()
    assert room.makes_room(100)


async def test_a_message_larger_than_the_room_goes_alone() -> None:
    room = LargeMessages(capacity_bytes=100, patience_seconds=60)
    assert room.makes_room(1_000)
    large, small = Sending(room, 1_000), Sending(room, 1)
    await reached(lambda: large.sends)
    assert not small.sends
    await large.end()
    await reached(lambda: small.sends)
    await small.end()


async def test_who_does_not_read_is_broken_off_when_others_wait_and_only_then() -> None:
    room = LargeMessages(capacity_bytes=100, patience_seconds=0.01)
    stalled = [Sending(room, 50), Sending(room, 50)]
    await reached(lambda: stalled[1].sends)
    since = asyncio.get_running_loop().time()
    await reached(lambda: asyncio.get_running_loop().time() > since + 0.3)  # longer than their patience
    assert not any(one.task.done() for one in stalled)
    other = Sending(room, 50)
    await reached(lambda: other.sends)
    assert [one.task.done() for one in stalled] == [True, False], "the one that sent for longest"
    assert [room.broke_off(one.task) for one in (*stalled, other)] == [True, False, False]
    for one in (*stalled, other):
        await one.end()


async def test_hundreds_who_do_not_read_hold_nobody_up_for_long() -> None:
    room = LargeMessages(capacity_bytes=400, patience_seconds=1)
    stalled = [Sending(room, 100) for _ in range(40)]
    await reached(lambda: stalled[3].sends)
    good = Sending(room, 100)
    await reached(lambda: good.sends, timeout_seconds=60)
    for one in (*stalled, good):
        await one.end()
    assert room.makes_room(400)


async def test_who_leaves_while_it_waits_leaves_no_trace() -> None:
    room = LargeMessages(capacity_bytes=100, patience_seconds=60)
    first, second, third = Sending(room, 100), Sending(room, 100), Sending(room, 100)
    await reached(lambda: first.sends)
    second.task.cancel()
    await first.end()
    await reached(lambda: third.sends)
    await third.end()
    assert room.makes_room(100)
