"""A task's `webhook_url` is called when it has ended: signed, at least once, whoever dies meanwhile."""

import asyncio
import json
import subprocess
import time

import grpc
import grpc.aio
import pytest
from aiohttp import web

from tests.support.engine import Engine, calling, history, kinds, spec, submit
from tests.support.processes import reached
from tests.support.scripted_agents import ScriptedAgents
from tests.support.web_receiver import Received, answer, receiving
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.core.errors import TroupeError
from troupe.local.launch import free_port
from troupe.orchestrator.webhooks.signing import verify

REDIS_KINDS = ["single"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = {
    "SECRETS": f'["{SECRET}"]',
    "ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    "INITIAL_BACKOFF_SECONDS": "0.05",
    "MAX_BACKOFF_SECONDS": "0.2",
    "MAX_ATTEMPTS": "100",
    "TIMEOUT_SECONDS": "1",
    "MARGIN_SECONDS": "1",
    "POLL_SECONDS": "0.05",
}


def start(engine: Engine) -> subprocess.Popen[bytes]:
    """Starts both, and returns the worker."""
    engine.start_orchestrator(**{f"TROUPE_ORCHESTRATOR__WEBHOOKS__{name}": value for name, value in SETTINGS.items()})
    return start_worker(engine)


def start_worker(engine: Engine) -> subprocess.Popen[bytes]:
    return engine.start_worker(**{f"TROUPE_WORKER__WEBHOOKS__{name}": value for name, value in SETTINGS.items()})


def told(task: TaskSpec, port: int) -> TaskSpec:
    """The task, with a receiver that is told of its end."""
    copy = TaskSpec()
    copy.CopyFrom(task)
    copy.webhook_url = f"http://127.0.0.1:{port}/hooks/1"
    return copy


def read(request: Received) -> tuple[str, str]:
    """The kind and the task of a notification whose signature holds."""
    verify(headers=request.headers, body=request.body, secret=SECRET, now=time.time())
    event = json.loads(request.body)
    return event["type"], event["data"]["task_id"]


async def test_each_way_to_end_is_told_once_and_signed(own: Engine, own_agents: ScriptedAgents) -> None:
    start(own)
    async with receiving(answer(204)) as receiver, calling(own) as stub:
        completed = await submit(stub, told(spec(("a", "noop", "x", [])), receiver.port))
        failed = await submit(stub, told(spec(("b", "broken", "x", [])), receiver.port))
        cancelled = await submit(stub, told(spec(("h", "hanging", "x", [])), receiver.port))
        await submit(stub, spec(("a", "noop", "x", [])))
        await stub.CancelTask(pb.CancelTaskRequest(task_id=cancelled))
        await reached(lambda: len(receiver.received) >= 3)
        last = await submit(stub, told(spec(("a", "noop", "x", [])), receiver.port))
        await reached(lambda: len(receiver.received) >= 4)  # nothing came twice meanwhile
    assert sorted(read(request) for request in receiver.received) == sorted(
        [
            ("task.completed", completed),
            ("task.completed", last),
            ("task.failed", failed),
            ("task.cancelled", cancelled),
        ]
    )
    assert {(request.method, request.path) for request in receiver.received} == {("POST", "/hooks/1")}
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 4


async def test_a_receiver_that_was_down_is_told_when_it_is_up(own: Engine, own_agents: ScriptedAgents) -> None:
    start(own)
    port = free_port()
    async with calling(own) as stub:
        task_id = await submit(stub, told(spec(("a", "noop", "x", [])), port))
        assert kinds(await history(stub, task_id))[-1] == "task_completed"
        await reached(lambda: "webhook" in own.said())
        async with receiving(answer(500), answer(200), port=port) as receiver:
            await reached(lambda: len(receiver.received) >= 2)
    assert {read(request) for request in receiver.received} == {("task.completed", task_id)}
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1


async def test_another_worker_tells_what_a_killed_one_did_not(own: Engine, own_agents: ScriptedAgents) -> None:
    first = start(own)
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with receiving(hang, answer(200)) as receiver, calling(own) as stub:
        task_id = await submit(stub, told(spec(("a", "noop", "x", [])), receiver.port))
        await arrived.wait()
        first.kill()
        start_worker(own)
        await reached(lambda: len(receiver.received) >= 2)
    assert [read(request) for request in receiver.received] == [("task.completed", task_id)] * 2
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1


async def test_a_task_that_ends_again_is_told_again(own: Engine, own_agents: ScriptedAgents) -> None:
    start(own)
    async with receiving(answer(200)) as receiver, calling(own) as stub:
        task = told(spec(("f", "flaky", "2", [])), receiver.port)
        task.plan.steps[0].retry_policy.max_attempts = 1
        task_id = await submit(stub, task)
        await reached(lambda: len(receiver.received) == 1)
        await stub.RetryTask(pb.RetryTaskRequest(task_id=task_id))
        await reached(lambda: len(receiver.received) == 2)
    assert [read(request) for request in receiver.received] == [("task.failed", task_id), ("task.completed", task_id)]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 2


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "http://[::1]/x", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/x"])
async def test_a_url_that_must_not_be_called_is_refused_at_once(
    own: Engine, own_agents: ScriptedAgents, url: str
) -> None:
    start(own)
    async with calling(own) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await submit(stub, TaskSpec(input="x", webhook_url=url))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "task.webhook_url" in repr(TroupeError.from_rpc(caught.value).violations)
