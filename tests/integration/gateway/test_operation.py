"""What those who run a gateway see of it, and what it sees of its backends."""

import asyncio
import base64
from collections import Counter

from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2

from tests.support.collector import attributes_of, collecting
from tests.support.echo import Echo, serving_echo
from tests.support.gateway import WebConnection, call, fetch, serving_gateway
from tests.support.processes import until
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.core.server import Drain
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.core.telemetry.tracing import configure_tracing
from troupe.local.launch import free_port

REQUEST = pb.GetTaskRequest(task_id="a")
PATH = "/troupe.api.orchestrator.v1.OrchestratorService/GetTask"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_backends_that_are_unwell_get_no_calls_while_another_is_well() -> None:
    told = health.aio.HealthServicer()
    echoes = [Echo(), Echo()]
    admin = f"127.0.0.1:{free_port()}"
    async with (
        serving_echo(echoes[0], servicer=told) as unwell,
        serving_echo(echoes[1]) as well,
        serving_gateway(unwell, well, admin=admin) as gateway,
    ):
        await _measured(admin, f'troupe_gateway_backend_healthy{{backend="{unwell}"}} 1.0')
        await _measured(admin, f'troupe_gateway_backend_healthy{{backend="{well}"}} 1.0')
        await told.set("", NOT_SERVING)
        await _measured(admin, f'troupe_gateway_backend_healthy{{backend="{unwell}"}} 0.0')
        echoes[0].started.clear()
        for _ in range(8):
            assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 0
        assert not echoes[0].started.is_set()
        await told.set("", SERVING)
        await until(lambda: _called(gateway, echoes[0]))


async def test_the_only_backend_gets_calls_though_it_is_unwell(echo: Echo) -> None:
    told = health.aio.HealthServicer()
    await told.set("", NOT_SERVING)
    async with serving_echo(echo, servicer=told) as backend, serving_gateway(backend) as gateway:
        assert (await call(gateway, "GetTask", REQUEST)).grpc_status == 0


async def test_metrics_count_calls_by_method_protocol_and_status(backend: str) -> None:
    admin = f"127.0.0.1:{free_port()}"
    async with serving_gateway(backend, admin=admin) as gateway:
        before = await _samples(admin)
        await call(gateway, "GetTask", REQUEST)
        await call(gateway, "CancelTask", pb.CancelTaskRequest(task_id="a"))
        await call(gateway, "NoSuchMethod", REQUEST)
        after = await _samples(admin)
    method = PATH.removeprefix("/")
    cancel = method.replace("GetTask", "CancelTask")
    counted = Counter({key: after[key] - before.get(key, 0) for key in after if key.startswith("troupe_gateway_calls")})
    assert +counted == {
        f'troupe_gateway_calls_total{{method="{method}",protocol="grpc-web",status="OK"}}': 1,
        f'troupe_gateway_calls_total{{method="{cancel}",protocol="grpc-web",status="UNIMPLEMENTED"}}': 1,
        'troupe_gateway_calls_total{method="other",protocol="grpc-web",status="UNIMPLEMENTED"}': 1,
    }
    assert after["troupe_gateway_open_calls"] == 0
    assert after[f'troupe_gateway_call_seconds_count{{method="{method}"}}'] >= 1


async def test_metrics_count_what_was_refused_and_who_is_connected(backend: str) -> None:
    admin = f"127.0.0.1:{free_port()}"
    async with serving_gateway(backend, admin=admin) as gateway, WebConnection.open(gateway) as connection:
        connection.writer.write(b"no request\r\n\r\n")
        assert (await connection.response()).status == 400
        async with WebConnection.open(gateway) as other:
            other.send("GET", "/healthz", {})
            await other.response()
            seen = await _samples(admin)
    assert seen['troupe_gateway_refused_total{reason="bad_requests"}'] == 1
    assert seen['troupe_gateway_connections{http="1.1"}'] >= 1
    assert seen[f'troupe_gateway_backend_connections{{backend="{backend}"}}'] == 2


async def test_the_backend_joins_the_trace_of_the_browser(backend: str, echo: Echo) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with collecting() as collector:
        settings = TelemetrySettings(otlp_endpoint=collector.endpoint)
        async with configure_tracing("gateway", settings), serving_gateway(backend) as gateway:
            await call(gateway, "GetTask", REQUEST, traceparent=traceparent)
        span = collector.one(PATH.removeprefix("/"))
    assert span.trace_id.hex() == traceparent.split("-")[1]
    assert span.parent_span_id.hex() == traceparent.split("-")[2]
    assert echo.metadata["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    assert attributes_of(span.attributes)["rpc.grpc.status_code"] == 0


async def test_without_tracing_the_trace_is_handed_on(gateway: str, echo: Echo) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await call(gateway, "GetTask", REQUEST, traceparent=traceparent)
    assert echo.metadata["traceparent"] == traceparent


async def test_a_refusal_says_when_to_call_again(backend: str, echo: Echo) -> None:
    drain = Drain()
    async with serving_gateway(backend, drain=drain, grace_seconds=5) as gateway, WebConnection.open(gateway) as first:
        first.call("GetTask", pb.GetTaskRequest(task_id="slow"))
        await asyncio.wait_for(echo.started.wait(), 2)
        drain.start()
        refused = await call(gateway, "GetTask", REQUEST)
    status = status_pb2.Status.FromString(base64.b64decode(refused.headers["grpc-status-details-bin"] + "=="))
    delay = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(delay) for detail in status.details)
    assert delay.retry_delay.nanos == 100_000_000


async def _called(gateway: str, echo: Echo) -> bool:
    await call(gateway, "GetTask", REQUEST)
    return echo.started.is_set()


async def _samples(admin: str) -> dict[str, float]:
    text = (await fetch(admin, "GET", "/metrics")).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def _measured(admin: str, sample: str) -> None:
    async def holds() -> bool:
        return sample in (await fetch(admin, "GET", "/metrics")).body.decode()

    await until(holds)
