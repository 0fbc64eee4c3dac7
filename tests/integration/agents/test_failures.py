"""What the process of the agents does when calls end early and when what it needs is gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.support.agents import agents_client, agents_server, passage, step
from tests.support.contexts import Context
from tests.support.inference import until_health
from tests.support.processes import until
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1 import inference_service_pb2 as inference_pb
from troupe.api.inference.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from troupe.core.errors import TroupeError
from troupe.core.server import Drain, ServerSettings, serving
from troupe.local.launch import free_port

NOWHERE = "127.0.0.1:1"
SECRET = "The vault opens with the word mellon."


class HangingInference(InferenceServiceServicer):
    """A model that never ends its answer by itself."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def ListModels(
        self, request: inference_pb.ListModelsRequest, context: Context
    ) -> inference_pb.ListModelsResponse:
        kind = inference_pb.ModelKind.MODEL_KIND_GENERATOR
        model = inference_pb.Model(name="endless", kind=kind, default=True, extractive=True, ready=True)
        return inference_pb.ListModelsResponse(models=[model])

    async def Embed(self, request: inference_pb.EmbedRequest, context: Context) -> inference_pb.EmbedResponse:
        raise AssertionError("no test gets this far")

    async def Generate(
        self, request: inference_pb.GenerateRequest, context: Context
    ) -> AsyncIterator[inference_pb.GenerateResponse]:
        yield inference_pb.GenerateResponse(text_delta="word ")
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def hanging_inference() -> AsyncIterator[tuple[str, HangingInference]]:
    models = HangingInference()
    services = {
        "troupe.api.inference.v1.InferenceService": lambda server: add_InferenceServiceServicer_to_server(
            models, server
        )
    }
    settings = ServerSettings(listen=f"127.0.0.1:{free_port()}", grace_seconds=0)
    async with serving(settings, drain=Drain(), services=services, dependencies={}) as address:
        yield address, models


def reading(**fields: object) -> pb.ExecuteRequest:
    """A step that asks the model."""
    return step("analyzer", "Which word opens the vault?", ("Find", StepOutput(passages=[passage(SECRET)])), **fields)


async def failure(call: "grpc.aio.UnaryStreamCall[pb.ExecuteRequest, pb.ExecuteResponse]") -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        _ = [event async for event in call]
    return TroupeError.from_rpc(ended.value)


async def answering(address: str) -> None:
    async def described() -> bool:
        async with agents_client(address) as agents:
            try:
                await agents.Describe(pb.DescribeRequest())
            except grpc.aio.AioRpcError:
                return False
            return True

    await until(described)


async def test_calls_that_end_early(tmp_path: Path) -> None:
    log = tmp_path / "agents.log"
    env = {"MILVUS_URI": f"http://{NOWHERE}"}
    async with hanging_inference() as (inference, models):
        with agents_server({**env, "INFERENCE_ADDRESS": inference}, log=log) as address:
            await answering(address)
            async with agents_client(address) as agents:
                call = agents.Execute(reading())
                first = await call.read()
                assert isinstance(first, pb.ExecuteResponse)
                assert first.progress.message == "Reading 1 passage"
                await asyncio.wait_for(models.asked.wait(), 10)
                call.cancel()
                await asyncio.wait_for(models.cancelled.wait(), 10)

                models.cancelled.clear()
                late = await failure(agents.Execute(reading(), timeout=0.5))
                assert late.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
                await asyncio.wait_for(models.cancelled.wait(), 10)

                models.asked.clear()
                poor = await failure(agents.Execute(reading(budget=pb.RemainingBudget(tokens=10))))
                assert poor.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
                assert not poor.retryable
                assert not models.asked.is_set()

                unknown = await failure(agents.Execute(step("painter", "paint")))
                assert unknown.reason == ErrorReason.ERROR_REASON_UNKNOWN_AGENT
                assert "`retriever`, `analyzer`, `writer`" in unknown.message
            await until_health(address, serving=False)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    ended = [line for line in lines if line.get("agent") == "analyzer" and line.get("status")]
    assert {"task", "analyzer"} <= {str(line["task_id"]) for line in ended} | {str(line["step_id"]) for line in ended}
    assert all(line["attempt"] == 1 for line in ended)
    assert "BUDGET_EXCEEDED" in {line["status"] for line in ended}
    assert "mellon" not in log.read_text()


async def test_without_inference_and_milvus_it_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    env = {"MILVUS_URI": f"http://{NOWHERE}", "INFERENCE_ADDRESS": NOWHERE}
    with agents_server(env, log=tmp_path / "agents.log") as address:
        await answering(address)
        await until_health(address, serving=False)
        async with agents_client(address) as agents:
            for one in (reading(), step("retriever", "Which word?")):
                gone = await failure(agents.Execute(one, timeout=20))
                assert gone.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
                assert gone.retryable
