"""Whatever a handler raises reaches clients with gRPC's own limits: its code, its reason, whether and when to retry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.support.gateway import serving_gateway
from tests.support.wild_errors import wild_error
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.errors import TroupeError
from troupe.core.interceptors import server_interceptors
from troupe.core.interceptors.context import REQUEST_ID_METADATA

Context = grpc.aio.ServicerContext[Any, Any]
SEEDS = range(200)
METADATA = ((REQUEST_ID_METADATA, "r" * 128),)


class Failing:
    """Fails with the error of the seed that the request names."""

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        raise wild_error(int(request.task_id))

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.WatchTaskResponse]:
        yield pb.WatchTaskResponse()
        raise wild_error(int(request.task_id))


@asynccontextmanager
async def failing_server() -> AsyncIterator[str]:
    failing = Failing()
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "GetTask": grpc.unary_unary_rpc_method_handler(
            failing.GetTask, pb.GetTaskRequest.FromString, pb.GetTaskResponse.SerializeToString
        ),
        "WatchTask": grpc.unary_stream_rpc_method_handler(
            failing.WatchTask, pb.WatchTaskRequest.FromString, pb.WatchTaskResponse.SerializeToString
        ),
    }
    server = grpc.aio.server(interceptors=server_interceptors(max_message_bytes=1 << 20))
    service = pb.DESCRIPTOR.services_by_name["OrchestratorService"].full_name
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def fails(stub: Any, seed: int) -> None:
    task_id = str(seed)
    if seed % 2:
        await stub.GetTask(pb.GetTaskRequest(task_id=task_id), metadata=METADATA)
    else:
        async for _ in stub.WatchTask(pb.WatchTaskRequest(task_id=task_id), metadata=METADATA):
            pass


async def arrives(stub: Any, seed: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await fails(stub, seed)
    raised, found = wild_error(seed), TroupeError.from_rpc(caught.value)
    if raised.code is not grpc.StatusCode.UNKNOWN:  # which is another for clients without the reason
        assert found.code is raised.code, (seed, found)
    assert found.retryable == raised.retryable, (seed, found)
    assert "retryable" in found.metadata, (seed, found)
    if raised.reason_name != "UNSPECIFIED":
        assert found.reason == raised.reason, (seed, found)
    assert (found.retry_delay is None) == (raised.retry_delay is None), (seed, found)


async def test_on_the_direct_port() -> None:
    async with failing_server() as address, grpc.aio.insecure_channel(address) as channel:
        for seed in SEEDS:
            await arrives(OrchestratorServiceStub(channel), seed)


async def test_through_the_gateway() -> None:
    async with (
        failing_server() as backend,
        serving_gateway(backend) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        for seed in SEEDS:
            await arrives(OrchestratorServiceStub(channel), seed)
