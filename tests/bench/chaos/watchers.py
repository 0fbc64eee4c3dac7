"""Watchers: through the client, through plain streams that go from replica to replica, through the gateway."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from random import Random
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from tests.bench.chaos.view import View
from tests.support.gateway import WebConnection
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.event_pb2 import TaskEvent
from troupe.client import TroupeClient

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

_SILENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2
_TRAILERS: Final = 0x80
_UNAVAILABLE: Final = str(grpc.StatusCode.UNAVAILABLE.value[0])


async def by_client(client: TroupeClient, view: View) -> None:
    """`TroupeClient.watch`, which resumes by itself."""
    view.streams += 1
    async with aclosing(client.watch(view.task_id, after_sequence=view.cursor)) as events:
        async for event in events:
            view.take([event])


async def by_stub(stubs: "Sequence[Stub]", view: View, rng: Random) -> None:
    """Plain calls at random replicas, left at random and taken up after the newest sequence."""
    while not view.done:
        view.streams += 1
        request = pb.WatchTaskRequest(task_id=view.task_id, after_sequence=view.cursor)
        call = rng.choice(stubs).WatchTask(request)
        patience = rng.randint(1, 30)
        try:
            while patience and not view.done:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    view.complain(f"{view}: ended without a terminal event, after {view.cursor}")
                    break
                view.take(_events(message))
                patience -= 1
            if view.done:
                await _ends(call, view)
        except TimeoutError:
            pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                view.complain(f"{view}: {error.code().name} after {view.cursor}: {error.details()}")
            await asyncio.sleep(rng.uniform(0, _PAUSE_SECONDS))
        finally:
            call.cancel()


async def _ends(call: "grpc.aio.UnaryStreamCall[pb.WatchTaskRequest, pb.WatchTaskResponse]", view: View) -> None:
    """The stream ends behind the terminal event."""
    async with asyncio.timeout(_SILENCE_SECONDS):
        if (message := await call.read()) is not grpc.aio.EOF:
            view.take(_events(message))


def _events(message: object) -> Sequence[TaskEvent]:
    assert isinstance(message, pb.WatchTaskResponse)
    return message.events


async def by_web(address: str, view: View, rng: Random) -> None:
    """gRPC-Web through the gateway."""
    while not view.done:
        view.streams += 1
        try:
            async with WebConnection.open(address) as connection:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    request = pb.WatchTaskRequest(task_id=view.task_id, after_sequence=view.cursor)
                    connection.call("WatchTask", request)
                    head = await connection.head()
                if head.headers.get("transfer-encoding") == "chunked":
                    async for events in _messages(connection, view):
                        view.take(events)
                elif head.headers.get("grpc-status") != _UNAVAILABLE:
                    view.complain(f"{view}: HTTP {head.status} {head.headers}")
        except (OSError, EOFError, TimeoutError):  # the gateway went away, or was stopped
            pass
        await asyncio.sleep(rng.uniform(0, _PAUSE_SECONDS))


async def _messages(connection: WebConnection, view: View) -> AsyncIterator[Sequence[TaskEvent]]:
    """The messages of a response, cut out of its chunks as they come."""
    buffer = bytearray()
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            chunk = await connection.chunk()
        if not chunk:
            return
        buffer += chunk
        while len(buffer) >= 5 and len(buffer) >= (end := 5 + int.from_bytes(buffer[1:5])):
            flags, payload = buffer[0], bytes(buffer[5:end])
            del buffer[:end]
            if not flags & _TRAILERS:
                yield pb.WatchTaskResponse.FromString(payload).events
            elif _status(payload) not in {"0", _UNAVAILABLE}:
                view.complain(f"{view}: gRPC-Web status {payload.decode()!r} after {view.cursor}")


def _status(trailers: bytes) -> str:
    lines = dict(line.split(": ", 1) for line in trailers.decode().splitlines())
    return lines.get("grpc-status", "")
