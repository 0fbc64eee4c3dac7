"""How soon steps go on elsewhere when their worker is killed, and when it is stopped, on a calm deployment."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.bench.chaos.agents import NAMES
from tests.bench.chaos.deployment import PARTITIONS, Deployment
from tests.bench.chaos.member import Member
from tests.support.processes import until
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import Plan, StepState, TaskSpec

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

MOST_SECONDS: Final = 2.0
"""After a kill, with default leases."""
_TASKS: Final = 6
_STEP_SECONDS: Final = 12


async def takeovers(deployment: Deployment, stub: "Stub") -> tuple[Sequence[float], Sequence[float]]:
    """Seconds from `kill -9`, and from SIGTERM, of a worker to the next start of each of its steps."""
    victim, *others = deployment.workers
    killed = await _measured(deployment, stub, others, victim.kill)
    victim.start()
    stopped = await _measured(deployment, stub, others, victim.terminate)
    victim.start()
    return killed, stopped


async def _measured(
    deployment: Deployment, stub: "Stub", others: Sequence[Member], end: Callable[[], Awaitable[Any]]
) -> Sequence[float]:
    await asyncio.gather(*(other.terminate() for other in others))
    await until(lambda: _listens(deployment, 1))
    tasks = [await _submit(stub, number) for number in range(_TASKS)]
    await until(lambda: _all_started(stub, tasks, attempt=1))
    for other in others:
        other.start()
    await until(lambda: _listens(deployment, len(deployment.workers)))
    began = time.time()
    ending = asyncio.ensure_future(end())
    await until(lambda: _all_started(stub, tasks, attempt=2), timeout_seconds=_STEP_SECONDS)
    await ending
    started = [await _start_time(stub, task_id) for task_id in tasks]
    for task_id in tasks:
        await stub.CancelTask(pb.CancelTaskRequest(task_id=task_id))
    return sorted(at - began for at in started)


async def _submit(stub: "Stub", number: int) -> str:
    step = Step(step_id="long", agent="sleeper", instruction=f"seconds={_STEP_SECONDS}")
    task = TaskSpec(input=f"takeover {number}", plan=Plan(steps=[step]))
    return (await stub.SubmitTask(pb.SubmitTaskRequest(task=task))).task.task_id


async def _all_started(stub: "Stub", tasks: Sequence[str], *, attempt: int) -> bool:
    steps = [(await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task.steps[0] for task_id in tasks]
    return all(step.state == StepState.STEP_STATE_RUNNING and step.attempt >= attempt for step in steps)


async def _start_time(stub: "Stub", task_id: str) -> float:
    """When the newest attempt began, by the clock of Redis, which is this machine's."""
    step = (await stub.GetTask(pb.GetTaskRequest(task_id=task_id))).task.steps[0]
    return step.start_time.ToMilliseconds() / 1000


async def _listens(deployment: Deployment, workers: int) -> bool:
    """Whether as many workers wait for steps of every agent."""
    reading = 0
    for node in deployment.nodes:
        clients: Any = await node.execute("CLIENT", "LIST")
        reading += clients.count(b"cmd=xreadgroup")
    reads = PARTITIONS if len(deployment.nodes) > 1 else 1  # a cluster takes one read for each slot
    return reading == workers * len(NAMES) * reads
