"""The clients: they submit jobs, watch them and cancel a few, through every disturbance."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from tests.bench.chaos.attendant import Attendant, Call
from tests.bench.chaos.deployment import Deployment
from tests.bench.chaos.graphs import Job
from tests.bench.chaos.view import Complain, View
from tests.bench.chaos.watchers import by_client, by_stub, by_web
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Task
from troupe.client import ClientSettings, TroupeClient, TroupeError
from troupe.core.channels import open_channel

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

_CALL_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.3


class Crowd:
    """What was accepted, and what each watcher has seen. Nothing is complained about that a client must bear."""

    def __init__(
        self, deployment: Deployment, clients: Sequence[TroupeClient], stubs: "Sequence[Stub]", complain: Complain
    ) -> None:
        self._deployment = deployment
        self._clients = clients
        self._complain = complain
        self.stubs = stubs
        self.accepted: dict[str, Job] = {}
        self.views: list[View] = []
        self.first_views: dict[str, View] = {}
        self.cancelled_at_once: set[str] = set()
        self.counts: Counter[str] = Counter()

    async def attend(self, job: Job, rng: Random) -> None:
        """Submits a job and watches it to its end."""
        views = [View("", door, self._complain) for door in job.doors]
        self.views += views
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._run(job, views[0], rng)) if job.doors[0] == "run" else None
            task_id = await self._submit(job, rng)
            if job.submitted_twice and (second := await self._submit(job, rng)) != task_id:
                self._complain(f"request {job.request_id} became two tasks, {task_id} and {second}")
            self.accepted[task_id] = job
            self.first_views[task_id] = views[0]
            attendant = Attendant(task_id, job, call=self._call, rng=rng)
            group.create_task(attendant.run(views[0]))
            for view in views:
                group.create_task(self._follow(attendant, view, running if view is views[0] else None, rng))
            if job.cancel_after_seconds is not None:
                await asyncio.sleep(job.cancel_after_seconds)
                await self._cancel(task_id, job)
        self.counts["retried"] += attendant.retries

    async def task(self, task_id: str) -> Task:
        """The task as `GetTask` shows it."""
        return (await self.stubs[0].GetTask(pb.GetTaskRequest(task_id=task_id), timeout=_CALL_SECONDS)).task

    async def _submit(self, job: Job, rng: Random) -> str:
        request = pb.SubmitTaskRequest(task=job.spec, request_id=job.request_id)
        while True:
            try:
                return (await rng.choice(self.stubs).SubmitTask(request, timeout=_CALL_SECONDS)).task.task_id
            except grpc.aio.AioRpcError as error:
                self._bear(error, f"SubmitTask of {job.request_id}")
            await asyncio.sleep(rng.uniform(0, _AGAIN_SECONDS))

    async def _call(self, call: Call, what: str) -> grpc.StatusCode:
        """Repeats a call until it is answered, at one orchestrator or the other."""
        rng = Random(what)
        while True:
            try:
                await call(rng.choice(self.stubs))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:  # it comes too late
                    return error.code()
                self._bear(error, what)
            else:
                self.counts[what.partition(" ")[0]] += 1
                return grpc.StatusCode.OK
            await asyncio.sleep(rng.uniform(0, _AGAIN_SECONDS))

    async def _cancel(self, task_id: str, job: Job) -> None:
        mode = pb.CANCEL_MODE_AFTER_STEP if job.cancel_after_step else pb.CANCEL_MODE_IMMEDIATE
        request = pb.CancelTaskRequest(task_id=task_id, mode=mode, reason="chaos")
        code = await self._call(
            lambda stub: stub.CancelTask(request, timeout=_CALL_SECONDS), f"CancelTask of {task_id}"
        )
        if code is grpc.StatusCode.OK and not job.cancel_after_step:
            self.cancelled_at_once.add(task_id)

    def _bear(self, error: grpc.aio.AioRpcError, what: str) -> None:
        self.counts["calls that failed"] += 1
        if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            self._complain(f"{what}: {error.code().name}: {error.details()}")

    async def _run(self, job: Job, view: View, rng: Random) -> None:
        """`TroupeClient.run`, beside a submission of the same request."""
        stream = rng.choice(self._clients).run(job.spec, request_id=job.request_id)
        try:
            async with aclosing(stream) as events:
                async for event in events:
                    view.task_id = view.task_id or event.task_id
                    view.take([event])
        except TroupeError as error:
            self._complain(f"{view}: {error.reason_name} after {view.cursor}: {error}")

    async def _follow(
        self, attendant: Attendant, view: View, running: "asyncio.Task[None] | None", rng: Random
    ) -> None:
        """Watches to the end, and on when the task is taken up again."""
        if running is not None:
            await running
            if view.task_id != attendant.task_id:
                self._complain(f"a request became two tasks, {attendant.task_id} and {view.task_id}")
        view.task_id = attendant.task_id
        while not view.ended or await attendant.goes_on(view):
            view.goal = view.ends + 1
            await self._watch(view, rng)

    async def _watch(self, view: View, rng: Random) -> None:
        """Watches until the view has ended once more."""
        match view.door:
            case "client" | "run":
                try:
                    await by_client(rng.choice(self._clients), view)
                except TroupeError as error:
                    self._complain(f"{view}: {error.reason_name} after {view.cursor}: {error}")
                    await asyncio.sleep(_AGAIN_SECONDS)
            case "stub":
                await by_stub(self.stubs, view, rng)
            case "web":
                await by_web(self._deployment.gateway_address, view, rng)


@asynccontextmanager
async def gathered(deployment: Deployment, complain: Complain) -> AsyncIterator[Crowd]:
    """Clients of every orchestrator."""
    async with AsyncExitStack() as stack:
        clients = []
        stubs: list[Stub] = []
        for address in deployment.addresses:
            settings = ClientSettings(target=address, connect_seconds=60)
            clients.append(await stack.enter_async_context(TroupeClient(settings=settings)))
            channel = await stack.enter_async_context(open_channel(address, retries=False))
            stubs.append(OrchestratorServiceStub(channel))
        yield Crowd(deployment, clients, stubs, complain)
