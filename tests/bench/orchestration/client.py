"""Troupe as the benchmark calls it: `python -m tests.bench.orchestration.client ADDRESS latency|throughput COUNT MOST`.

Prints the latencies in ms, or the tasks a second.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import uvloop

from tests.support.engine import spec
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.channels import open_channel
from troupe.core.ids import new_id

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

CHAIN = spec(("a", "noop", "x", []), ("b", "noop", "x", ["a"]), ("c", "noop", "x", ["b"]))
WARM_UP = 50
_MESSAGE = 64


async def latencies(stub: "Stub", count: int) -> list[float]:
    """Milliseconds from the call of RunTask to the terminal event, one task after the other."""
    return [await _one(stub) for _ in range(WARM_UP + count)][WARM_UP:]


async def _one(stub: "Stub") -> float:
    began = time.perf_counter()
    async for response in stub.RunTask(pb.RunTaskRequest(task=CHAIN)):
        if response.events[-1].HasField("task_completed"):
            break
    return (time.perf_counter() - began) * 1000


async def throughput(stub: "Stub", count: int, in_flight: int) -> float:
    """Tasks a second, from the first submission to the last terminal event; one stream submits and follows them."""
    room = asyncio.Semaphore(in_flight)
    began = time.perf_counter()
    completed = 0
    async for response in stub.RunTasks(_submissions(count, room)):
        for result in response.results:
            assert result.task_id, result.error
        for event in response.events:
            if event.HasField("task_completed"):
                completed += 1
                room.release()
    assert completed == count
    return count / (time.perf_counter() - began)


async def _submissions(count: int, room: asyncio.Semaphore) -> AsyncIterator[pb.RunTasksRequest]:
    left = count
    while left:
        await room.acquire()
        batch = 1
        while batch < min(left, _MESSAGE) and not room.locked():
            await room.acquire()
            batch += 1
        left -= batch
        yield pb.RunTasksRequest(submissions=[_submission() for _ in range(batch)])


def _submission() -> pb.TaskSubmission:
    return pb.TaskSubmission(task=CHAIN, request_id=new_id(), events=pb.EVENT_SELECTION_TERMINAL)


async def _main(address: str, what: str, count: int, in_flight: int) -> None:
    async with open_channel(address) as channel:
        stub: Stub = OrchestratorServiceStub(channel)
        if what == "latency":
            print(*await latencies(stub, count), sep="\n")
        else:
            await throughput(stub, min(count, 500), in_flight)
            print(await throughput(stub, count, in_flight))


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
