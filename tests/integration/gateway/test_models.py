"""Models and contracts behind the gateway's port: listed, checked at submission, and found by reflection."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from tests.support.engine import Engine, healthy
from tests.support.gateway import WebConnection, serving_gateway
from tests.support.inference import inference_server, until_health
from tests.support.processes import until
from tests.support.redis import Redis
from tests.support.scripted_agents import scripted_agents
from troupe.api.common.v1.step_pb2 import Step
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.api.orchestrator.v1.task_pb2 import Plan, TaskSpec
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

LIST_MODELS = "/troupe.api.inference.v1.InferenceService/ListModels"
SUBMIT = "/troupe.api.orchestrator.v1.OrchestratorService/SubmitTask"
MODELS = {
    "generator": {"kind": "generator", "extractive": True},
    "small-chat": {"kind": "generator"},
    "embedder": {"kind": "embedder", "dimensions": 384},
}
PLAN = Plan(steps=[Step(step_id="a", agent="noop", instruction="x")])
UNKNOWN = 'is "small_chatt", and there is no such model; did you mean `small-chat`?'


@dataclass
class Deployment:
    """An orchestrator with a gateway before it and an inference service, without its Triton, beside it."""

    engine: Engine
    gateway: str
    inference: ExitStack
    stub: "Stub"

    async def post(self, path: str, value: Any) -> tuple[int, dict[str, Any]]:
        async with WebConnection.open(self.gateway) as connection:
            connection.send("POST", path, {"content-type": "application/json"}, json.dumps(value).encode())
            response = await connection.response()
            found: dict[str, Any] = json.loads(response.body)
            return response.status, found

    async def submit(self, model: str) -> TroupeError | None:
        try:
            await self.stub.SubmitTask(pb.SubmitTaskRequest(task=TaskSpec(input="x", model=model, plan=PLAN)))
        except grpc.aio.AioRpcError as error:
            return TroupeError.from_rpc(error)
        return None

    async def refused(self, model: str) -> TroupeError:
        """The refusal of a model, as soon as the models are known."""
        refusal: TroupeError | None = None

        async def is_refused() -> bool:
            nonlocal refusal
            refusal = await self.submit(model)
            return refusal is not None

        await until(is_refused)
        assert refusal is not None
        return refusal


@pytest.fixture
async def deployed(redis_server: Redis, tmp_path: Path) -> AsyncIterator[Deployment]:
    engine = Engine(redis_server, tmp_path)
    with engine.stack, ExitStack() as inference:
        env = {
            "TROUPE_INFERENCE__BACKENDS__TRITON__URL": "127.0.0.1:1",
            "TROUPE_INFERENCE__BACKENDS__TRITON__MODELS": json.dumps(MODELS),
        }
        address = inference.enter_context(inference_server(env, log=tmp_path / "inference.log"))
        engine.start_orchestrator(TROUPE_ORCHESTRATOR__INFERENCE_ADDRESS=address)
        async with scripted_agents(engine.agents_address), engine.open() as channel:
            await healthy(engine.address)
            await until_health(address, serving=False)  # it answers, without its Triton
            async with serving_gateway(engine.address, reflection=True) as gateway:
                yield Deployment(engine, gateway, inference, OrchestratorServiceStub(channel))


async def test_models_are_listed_and_unknown_ones_refused(deployed: Deployment) -> None:
    error = await deployed.refused("small_chatt")
    assert (error.code.name, error.reason_name) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    (violation,) = error.violations
    assert violation.field == "task.model"
    assert UNKNOWN in violation.description
    assert f"`task.model` {violation.description}" == error.message

    status, answer = await deployed.post(LIST_MODELS, {})
    assert status == 200
    assert [model["name"] for model in answer["models"]] == sorted(MODELS)
    # What a model makes costs money, and who calls is not checked here.
    status, answer = await deployed.post("/troupe.api.inference.v1.InferenceService/Embed", {"texts": ["x"]})
    assert (status, answer["code"]) == (501, "unimplemented")

    for known in ("", "generator", "small-chat"):
        assert await deployed.submit(known) is None
    for unknown, says in [
        ("SMALL-CHAT-2", "did you mean `small-chat`?"),
        ("gpt-9", "known: `generator`, `small-chat`"),
        ("embedder", 'is "embedder", which makes no text; send one of `generator`, `small-chat`'),
        ("\x00", "there is no such model"),
        ("ü" * 128, "there is no such model"),
    ]:
        refused = await deployed.submit(unknown)
        assert refused is not None
        assert (refused.code.name, [v.field for v in refused.violations]) == ("INVALID_ARGUMENT", ["task.model"])
        assert says in refused.message

    task = TaskSpec(input="x", model="small_chatt", plan=PLAN)
    with pytest.raises(grpc.aio.AioRpcError, match="small-chat"):
        await deployed.stub.PlanTask(pb.PlanTaskRequest(task=task))
    with pytest.raises(grpc.aio.AioRpcError, match="small-chat"):
        await deployed.stub.RunTask(pb.RunTaskRequest(task=task)).read()
    request = pb.RunTasksRequest(submissions=[pb.TaskSubmission(task=task, request_id="r")])
    response = await anext(aiter(deployed.stub.RunTasks(iter([request]))))
    assert UNKNOWN in response.results[0].error.message
    status, answer = await deployed.post("/run-task", {"user_input": "x", "model": "small_chatt"})
    assert (status, answer["error"]["violations"][0]["field"]) == (400, "task.model")
    status, answer = await deployed.post(SUBMIT, {"task": {"input": "x", "model": "small_chatt"}})
    assert (status, answer["code"]) == (400, "invalid_argument")


async def test_without_the_inference_service_no_model_is_refused(deployed: Deployment) -> None:
    await deployed.refused("small_chatt")
    deployed.inference.close()
    assert await deployed.submit("small-chat") is None

    async def is_taken() -> bool:
        return await deployed.submit("small_chatt") is None

    await until(is_taken)
    status, answer = await deployed.post(LIST_MODELS, {})
    assert (status, answer["code"]) == (503, "unavailable")
    assert answer["details"][0]["debug"]["reason"] == "MODEL_UNAVAILABLE"


async def test_clients_without_contracts_find_them_by_reflection(deployed: Deployment) -> None:
    for protocol, target in (("grpc", deployed.gateway), ("grpc", deployed.engine.address)):
        answer = await buf_curl(f"http://{target}{LIST_MODELS}", protocol)
        assert [model["name"] for model in json.loads(answer)["models"]] == sorted(MODELS)
    listed = await buf_curl(f"http://{deployed.gateway}", "grpc", "--list-methods")
    assert "troupe.api.orchestrator.v1.OrchestratorService/WatchTask" in listed
    assert "troupe.api.memory.v1.MemoryService/Search" in listed


async def test_reflection_is_called_by_setting_only(deployed: Deployment) -> None:
    async with open_channel(deployed.gateway, retries=False) as channel:
        for version in ("v1", "v1alpha"):
            call: Any = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            answers = [answer async for answer in call(iter([b"\x3a\x00"]))]
            assert b"OrchestratorService" in answers[0]


async def test_reflection_is_closed_by_default(gateway: str) -> None:
    async with open_channel(gateway, retries=False) as channel:
        call: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        assert await call().code() is grpc.StatusCode.UNIMPLEMENTED


async def buf_curl(url: str, protocol: str, *options: str) -> str:
    """What a client prints that knows no contract."""
    buf = Path(sys.executable).with_name("buf")
    process = await asyncio.create_subprocess_exec(
        buf, "curl", "--protocol", protocol, "--http2-prior-knowledge", *options, url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return out.decode()
