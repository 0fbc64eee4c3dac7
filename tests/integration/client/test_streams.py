"""Streams survive cuts without a loss and without a duplicate."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import grpc
import pytest
import pytest_asyncio

from tests.support.task_server import TASK_ID, Cut, TaskServer, task_server
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import ClientSettings, TroupeClient, TroupeError
from troupe.client.errors import is_unreachable
from troupe.core.server import draining_error
from troupe.local.launch import free_port


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[TaskServer, str]]:
    async with task_server() as served:
        yield served


def client_of(
    address: str, *, connect_seconds: float = 5, reconnect_seconds: float = 20, silence_seconds: float = 20
) -> TroupeClient:
    settings = ClientSettings(
        target=address,
        connect_seconds=connect_seconds,
        reconnect_seconds=reconnect_seconds,
        silence_seconds=silence_seconds,
    )
    return TroupeClient(settings=settings)


async def collect(stream: AsyncIterator[TaskEvent], into: list[TaskEvent]) -> None:
    async for event in stream:
        into.append(event)  # noqa: PERF401 - what came before an error counts


def sequences(events: Sequence[TaskEvent]) -> list[int]:
    return [event.sequence for event in events]


async def test_run_yields_the_whole_history(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    async with client_of(address) as client:
        events = [event async for event in client.run("why?")]
    assert events == tasks.events


@pytest.mark.parametrize(
    "error", [draining_error(), grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, None]
)
async def test_a_cut_stream_goes_on_where_it_was(
    server: tuple[TaskServer, str], error: TroupeError | grpc.StatusCode | None
) -> None:
    tasks, address = server
    tasks.cuts.extend([Cut(4, error), Cut(3, error)])
    async with client_of(address) as client:
        events = [event async for event in client.run("why?")]
    assert sequences(events) == list(range(1, len(tasks.events) + 1))
    assert [request.after_sequence for request in tasks.watch_requests] == [4, 7]


async def test_no_cut_anywhere_loses_or_repeats_an_event(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    draw = random.Random(7)
    async with client_of(address) as client:
        for _ in range(10):
            tasks.batch = draw.randint(1, 4)
            tasks.cuts.extend(Cut(draw.randint(1, 5)) for _ in range(draw.randint(0, 4)))
            after = draw.randint(0, len(tasks.events) - 1)
            events = [event async for event in client.watch(TASK_ID, after_sequence=after)]
            assert sequences(events) == list(range(after + 1, len(tasks.events) + 1))


async def test_a_cut_before_the_first_event_submits_with_the_same_request_id(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.cuts.extend([Cut(0), Cut(0)])
    async with client_of(address) as client:
        events = [event async for event in client.run("why?")]
    assert sequences(events) == list(range(1, len(tasks.events) + 1))
    assert len(tasks.run_requests) > 1
    assert len({request.request_id for request in tasks.run_requests}) == 1
    assert tasks.run_requests[0].request_id


async def test_a_silent_stream_counts_as_cut(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.pause_after = 5
    async with client_of(address, silence_seconds=0.2) as client:
        events = [event async for event in client.watch(TASK_ID)]
    assert sequences(events) == list(range(1, len(tasks.events) + 1))


async def test_repeated_events_are_dropped(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.events.insert(5, tasks.events[2])
    async with client_of(address) as client:
        events = [event async for event in client.watch(TASK_ID)]
    assert sequences(events) == list(range(1, len(tasks.events)))


async def test_checkpoints_are_yielded_on_demand_only(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.checkpoints = True
    async with client_of(address) as client:
        quiet = [event async for event in client.watch(TASK_ID)]
        full = [event async for event in client.watch(TASK_ID, checkpoints=True)]
    assert quiet == tasks.events
    assert [event.WhichOneof("event") for event in full].count("checkpoint") == 1


async def test_an_unknown_task_is_an_error_at_once(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    async with client_of(address) as client:
        with pytest.raises(TroupeError, match="'nope'") as caught:
            _ = [event async for event in client.watch("nope")]
    assert caught.value.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND
    assert len(tasks.watch_requests) == 1


async def test_nobody_answers() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with client_of(address, connect_seconds=0.2) as client:
        with pytest.raises(TroupeError, match=address) as of_stream:
            _ = [event async for event in client.run("why?")]
        with pytest.raises(TroupeError, match=address) as of_call:
            await client.get(TASK_ID)
    assert is_unreachable(of_stream.value)
    assert is_unreachable(of_call.value)


async def test_patience_ends(server: tuple[TaskServer, str]) -> None:
    tasks, address = server
    tasks.cuts.extend([Cut(2), *[Cut(0)] * 100])
    seen: list[TaskEvent] = []
    async with client_of(address, reconnect_seconds=0.3) as client:
        with pytest.raises(TroupeError) as caught:
            await collect(client.run("why?"), seen)
    assert caught.value.reason == ErrorReason.ERROR_REASON_SERVER_DRAINING
    assert sequences(seen) == [1, 2]


async def test_a_restarted_server_is_found_again() -> None:
    address = f"127.0.0.1:{free_port()}"
    seen: list[int] = []
    async with client_of(address) as client:
        async with task_server(address) as (tasks, _):
            tasks.pause_after = 3
            events = client.watch(TASK_ID)
            seen.extend([(await anext(events)).sequence for _ in range(3)])
        waiting = asyncio.ensure_future(anext(events))
        async with task_server(address) as (tasks, _), aclosing(events):
            seen.append((await waiting).sequence)
            seen.extend([event.sequence async for event in events])
    assert seen == list(range(1, len(tasks.events) + 1))
