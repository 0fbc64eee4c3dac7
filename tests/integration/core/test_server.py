"""How every process starts, says how it is, drains and stops."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.engine import Engine, healthy, spec, submit
from tests.support.processes import running, until
from tests.support.redis import Redis
from tests.support.scripted_agents import scripted_agents
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from troupe.core.errors import TroupeError
from troupe.core.interceptors.context import REQUEST_ID_METADATA
from troupe.local.launch import Launch

if TYPE_CHECKING:
    from troupe.api.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub as Stub

SERVICE = "troupe.api.orchestrator.v1.OrchestratorService"


@pytest.fixture
def own(redis_server: Redis, tmp_path: Path) -> Engine:
    """An orchestrator of the test's own; the test starts it."""
    return Engine(redis_server, tmp_path)


async def test_a_drained_server_is_not_serving_and_tells_streams_to_come_back(own: Engine) -> None:
    with own.stack:
        process = own.start_orchestrator()
        async with scripted_agents(own.agents_address), own.open() as channel:
            await healthy(own.address)
            stub: Stub = OrchestratorServiceStub(channel)
            task_id = await submit(stub, spec(("h", "hanging", "x", [])))
            call = stub.WatchTask(pb.WatchTaskRequest(task_id=task_id))
            stream = aiter(call)
            await anext(stream)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            statuses = aiter(watch)
            assert (await anext(statuses)).status == health_pb2.HealthCheckResponse.SERVING
            process.send_signal(signal.SIGTERM)
            assert (await anext(statuses)).status == health_pb2.HealthCheckResponse.NOT_SERVING
            error = await _ends_with(stream)
            assert error.reason == ErrorReason.ERROR_REASON_SERVER_DRAINING
            assert error.code is grpc.StatusCode.UNAVAILABLE
            assert error.retryable
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_what_is_missing_is_not_serving_and_named_in_the_log(own: Engine) -> None:
    with own.stack:
        own.start_orchestrator()  # its agents are not there
        async with own.open() as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def answers() -> bool:
                try:
                    reply = await stub.Check(health_pb2.HealthCheckRequest())
                except grpc.aio.AioRpcError:
                    return False
                return bool(reply.status == health_pb2.HealthCheckResponse.NOT_SERVING)

            await until(answers)

            async def named() -> bool:
                return f'"dependency": "agents", "problem": "{own.agents_address}' in _log(own)

            await until(named)


async def test_methods_are_listed_by_reflection_and_answers_carry_the_request_id(engine: Engine) -> None:
    async with engine.open() as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        reply = await anext(aiter(stub.ServerReflectionInfo(iter([request]), wait_for_ready=True)))
        assert SERVICE in {service.name for service in reply.list_services_response.service}
        call = OrchestratorServiceStub(channel).ListAgents(
            pb.ListAgentsRequest(), metadata=((REQUEST_ID_METADATA, "my-request"),)
        )
        trailers = await call.trailing_metadata()
        assert dict(trailers)[REQUEST_ID_METADATA] == "my-request"


@pytest.mark.parametrize(
    ("module", "variable"),
    [
        ("orchestrator", "TROUPE_ORCHESTRATOR__SERVER__LISTEN"),
        ("orchestrator.worker", "TROUPE_WORKER__SERVER__LISTEN"),
        ("inference", "TROUPE_INFERENCE__SERVER__LISTEN"),
        ("agents", "TROUPE_AGENTS__SERVER__LISTEN"),
        ("gateway", "TROUPE_GATEWAY__LISTEN"),
    ],
)
def test_a_port_that_is_taken_is_said_in_one_line(module: str, variable: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        log = tmp_path / "log"
        with running(Launch([sys.executable, "-m", f"troupe.{module}"], {variable: address}), log=log) as process:
            assert process.wait(100) == 2
    assert address in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_wrong_setting_is_said_in_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "troupe.orchestrator"],
        env={"TROUPE_ORCHESTRATOR__REDIS_URL": "redis://user:secret@", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert ended.returncode == 2
    assert "TROUPE_ORCHESTRATOR__REDIS_URL" in ended.stderr
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


async def _ends_with(stream: object) -> TroupeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stream:  # type: ignore[attr-defined] # a stream of any call
            pass
    return TroupeError.from_rpc(caught.value)


def _log(engine: Engine) -> str:
    return (engine.logs / "orchestrator.log").read_text()
