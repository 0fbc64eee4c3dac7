"""How long unary calls take, one at a time."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TASK_STATE_FAILED, TaskSpec
from troupe.orchestrator.rpc.pages import encode_page_token

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

_CALLS: Final = 200
_FIRST: Final = "ListTasks, first page"
_MIDDLE: Final = "ListTasks, a page in the middle"


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> "Latency":
        ordered = sorted(values_ms)
        return cls(ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)])


async def call_latencies(stub: "Stub", task: TaskSpec, task_ids: list[str]) -> Mapping[str, Latency]:
    """Of the calls that people and services make all the time, by name. Adds the ids of the tasks that it submits."""

    async def submit() -> None:
        task_ids.append((await stub.SubmitTask(pb.SubmitTaskRequest(task=task))).task.task_id)

    middle = await _middle(stub, task_ids)
    some = cycle(task_ids[:: max(1, len(task_ids) // _CALLS)])
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        _FIRST: lambda: stub.ListTasks(pb.ListTasksRequest()),
        _MIDDLE: lambda: stub.ListTasks(pb.ListTasksRequest(page_token=middle)),
        "GetTask": lambda: stub.GetTask(pb.GetTaskRequest(task_id=next(some))),
        "SubmitTask": submit,
    }
    return {name: Latency.of([await _timed(call) for _ in range(_CALLS)]) for name, call in calls.items()}


async def failed_page(stub: "Stub") -> float:
    """Milliseconds of a page of failed tasks, of which there are none."""
    return await _timed(lambda: stub.ListTasks(pb.ListTasksRequest(states=[TASK_STATE_FAILED])))


async def _middle(stub: "Stub", task_ids: Sequence[str]) -> str:
    """The token of the page that begins with the middle one of the tasks."""
    task_id = task_ids[len(task_ids) // 2]
    task = (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task
    return encode_page_token((task.create_time.ToMilliseconds(), task_id), [])


async def _timed(call: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000
