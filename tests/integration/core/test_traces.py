"""Traces: across calls, across what is stored, and without a collector."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.calls import Calls, serving_calls
from tests.support.collector import Collector, attributes_of, collecting
from tests.support.processes import running, until
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError
from troupe.core.telemetry.propagation import current_traceparent, trace_metadata
from troupe.core.telemetry.settings import TelemetrySettings
from troupe.core.telemetry.spans import remote_span
from troupe.core.telemetry.tracing import configure_tracing
from troupe.local.launch import Launch, free_port

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
SAMPLED = 1
UNSAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-00"
SERVICE = "troupe.test.v1.Traced"


@asynccontextmanager
async def relaying() -> AsyncIterator[Any]:
    """A channel to a server that calls a second one."""
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(serving_calls(Calls(SERVICE)))
        onward = await stack.enter_async_context(open_channel(second, retries=False))
        first = await stack.enter_async_context(serving_calls(Calls(SERVICE, onward)))
        yield await stack.enter_async_context(open_channel(first, retries=False))


def tracing_to(collector: Collector, *, sample_ratio: float = 1.0) -> TelemetrySettings:
    return TelemetrySettings(otlp_endpoint=collector.endpoint, sample_ratio=sample_ratio)


async def test_one_trace_spans_the_client_the_server_and_the_server_behind_it() -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)), relaying() as channel:
            with remote_span("start", "", task_id="t-1"):
                client = current_traceparent()
                inner = await channel.unary_unary(f"/{SERVICE}/Unary")(b"onward")
        start = collector.one("start")
        outer, nested = sorted(collector.spans[f"{SERVICE}/Unary"], key=lambda span: span.start_time_unix_nano)
        assert client.startswith(f"00-{start.trace_id.hex()}-{start.span_id.hex()}-")
        assert inner.decode().startswith(f"00-{nested.trace_id.hex()}-{nested.span_id.hex()}-")
        assert {start.trace_id} == {outer.trace_id, nested.trace_id}
        assert (start.parent_span_id, outer.parent_span_id, nested.parent_span_id) == (
            b"",
            start.span_id,
            outer.span_id,
        )
        assert outer.kind == nested.kind == Span.SPAN_KIND_SERVER
        assert start.kind == Span.SPAN_KIND_CONSUMER
        assert attributes_of(start.attributes) == {"troupe.task_id": "t-1"}
        said = attributes_of(outer.attributes)
        assert said == {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "Unary", "rpc.grpc.status_code": 0}
        assert collector.resource["service.name"] == "troupe-test"


async def test_streams_of_every_shape_are_spans_and_pass_the_trace_on() -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)), relaying() as channel:
            with remote_span("start", TRACEPARENT):
                assert await channel.unary_unary(f"/{SERVICE}/Unary")(b"onward stream") == b"onward stream"
                assert len([m async for m in channel.unary_stream(f"/{SERVICE}/Written")(b"x")]) == 3
                assert await channel.stream_unary(f"/{SERVICE}/Collect")(two()) == b"2"
                assert [m async for m in channel.stream_stream(f"/{SERVICE}/Chat")(two())] == [b"a", b"b"]
        assert {span.trace_id.hex() for spans in collector.spans.values() for span in spans} == {TRACE_ID}
        assert collector.one(f"{SERVICE}/Stream").parent_span_id == collector.one(f"{SERVICE}/Unary").span_id
        for method in ("Unary", "Written", "Collect", "Chat"):
            assert collector.one(f"{SERVICE}/{method}").parent_span_id == collector.one("start").span_id


@pytest.mark.parametrize(
    ("request_", "code", "reason", "faulty"),
    [
        (b"missing", grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND", False),
        (b"broken", grpc.StatusCode.INTERNAL, "INTERNAL", True),
        (b"aborts", grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS", False),
    ],
)
async def test_errors_are_recorded_by_their_reason_and_never_quoted(
    request_: bytes, code: grpc.StatusCode, reason: str, faulty: bool
) -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)), relaying() as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/{SERVICE}/Unary")(request_)
        span = collector.one(f"{SERVICE}/Unary")
        said = attributes_of(span.attributes)
        assert (said["rpc.grpc.status_code"], said["error.type"]) == (code.value[0], reason)
        assert (span.status.code == Status.STATUS_CODE_ERROR) is faulty
        assert b"secret" not in span.SerializeToString()


@pytest.mark.parametrize("request_", [b"slow", b"endless"])
async def test_a_stream_that_is_given_up_ends_its_span(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with collecting() as collector:
        calls = Calls(SERVICE)
        async with (
            configure_tracing("test", tracing_to(collector)),
            serving_calls(calls) as address,
            open_channel(address) as opened,
        ):
            channel: Any = opened
            stream: Any = channel.unary_stream(f"/{SERVICE}/Stream")(request_)
            await anext(aiter(stream))
            stream.cancel()
            await calls.cancelled.wait()
        span = collector.one(f"{SERVICE}/Stream")
        assert attributes_of(span.attributes)["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
    assert not caplog.records


async def test_health_checks_are_not_traced() -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)), relaying() as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            await channel.unary_unary(f"/{SERVICE}/Unary")(b"")
        assert set(collector.spans) == {f"{SERVICE}/Unary"}


async def test_what_was_stored_goes_on_in_its_trace_and_says_why_it_failed() -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)):
            with remote_span("submit", ""):
                stored = current_traceparent()
            assert current_traceparent() == ""
            error = TroupeError(ErrorReason.ERROR_REASON_AGENT_FAILED, "secret-of-the-request")
            with pytest.raises(TroupeError), remote_span("step", stored, step_id="s", attempt=2):
                raise error
            assert current_traceparent() == ""
        submit, step = collector.one("submit"), collector.one("step")
        assert (step.trace_id, step.parent_span_id) == (submit.trace_id, submit.span_id)
        said = {"troupe.step_id": "s", "troupe.attempt": 2, "error.type": "AGENT_FAILED"}
        assert attributes_of(step.attributes) == said
        assert b"secret" not in step.SerializeToString()


@pytest.mark.parametrize(("traceparent", "sampled"), [("", False), (UNSAMPLED, False), (TRACEPARENT, True)])
async def test_the_share_is_of_traces_that_start_here(traceparent: str, sampled: bool) -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector, sample_ratio=0)), relaying() as channel:
            with remote_span("start", traceparent):
                inner = await channel.unary_unary(f"/{SERVICE}/Unary")(b"onward")
        flags = int(inner.decode()[-2:], 16)
        assert flags & SAMPLED == sampled  # the decision travels
        assert bool(collector.spans) is sampled


@pytest.mark.parametrize("state", [(), (("tracestate", "vendor=1"),)])
async def test_without_a_collector_the_callers_trace_is_handed_on(state: tuple[tuple[str, str], ...]) -> None:
    async with relaying() as channel:
        metadata = (("traceparent", TRACEPARENT), *state)
        assert await channel.unary_unary(f"/{SERVICE}/Unary")(b"onward", metadata=metadata) == TRACEPARENT.encode()
        assert await channel.unary_unary(f"/{SERVICE}/Unary")(b"onward") == b""
        with remote_span("step", TRACEPARENT):
            assert trace_metadata() == (("traceparent", TRACEPARENT),)
        assert trace_metadata() == ()


@pytest.mark.parametrize(
    "nonsense", ["", "x", "00-0-0-0", TRACEPARENT + "0" * 1000, f"ff{TRACEPARENT[2:]}", f"00-{'0' * 32}-{'0' * 16}-01"]
)
async def test_a_trace_context_that_cannot_be_read_starts_a_trace(nonsense: str) -> None:
    async with collecting() as collector:
        async with configure_tracing("test", tracing_to(collector)), relaying() as channel:
            await channel.unary_unary(f"/{SERVICE}/Unary")(b"", metadata=(("traceparent", nonsense),))
        span = collector.one(f"{SERVICE}/Unary")
        assert (span.parent_span_id, span.trace_id.hex() == TRACE_ID) == (b"", False)


def test_a_process_that_does_not_trace_loads_no_sdk_and_starts_no_thread() -> None:
    program = """if True:
        import asyncio, sys, threading
        from troupe.core.server import Drain
        from troupe.core.telemetry.settings import TelemetrySettings
        from troupe.core.telemetry.tracing import configure_tracing
        async def main():
            async with configure_tracing("off", TelemetrySettings()):
                print([name for name in sys.modules if name.startswith("opentelemetry.sdk")], threading.active_count())
        asyncio.run(main())
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert ended.stdout == "[] 1\n"


@contextmanager
def refusing() -> Iterator[int]:
    yield free_port()


@contextmanager
def silent() -> Iterator[int]:
    with socket.socket() as taken:  # connects, and never says a word
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize("absent", [refusing, silent])
async def test_a_collector_that_is_away_slows_nothing_and_is_said_once(absent: object, tmp_path: Path) -> None:
    log, address = tmp_path / "log", f"127.0.0.1:{free_port()}"
    with absent() as port:  # type: ignore[operator] # one of the two above
        env = {
            "TROUPE_TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "TROUPE_TELEMETRY__FLUSH_TIMEOUT_SECONDS": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
        }
        launch = Launch([sys.executable, "-m", "tests.support.calls", address], env)
        with running(launch, log=log) as process:
            async with open_channel(address) as channel:
                unary: Any = channel.unary_unary("/troupe.test.v1.Process/Unary")
                await unary(b"log", wait_for_ready=True)
                for _ in range(200):  # more than the queue holds
                    await unary(b"", timeout=2)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert await asyncio.to_thread(process.wait, 10) == 0
            assert time.monotonic() - started < 4
    said = log.read_text()
    assert len(re.findall(r"exporting|Failed to export|Queue full", said)) <= 1
    assert "Traceback" not in said
    asked = next(json.loads(line) for line in said.splitlines() if "asked to log" in line)
    assert re.fullmatch(r"[0-9a-f]{32}", asked["trace_id"])
    assert re.fullmatch(r"[0-9a-f]{16}", asked["span_id"])


async def test_a_process_sends_its_last_spans_before_it_ends(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with collecting() as collector:
        launch = Launch(
            [sys.executable, "-m", "tests.support.calls", address],
            {"TROUPE_TELEMETRY__OTLP_ENDPOINT": collector.endpoint},
        )
        with running(launch, log=tmp_path / "log") as process:
            async with open_channel(address) as channel:
                unary: Any = channel.unary_unary("/troupe.test.v1.Process/Unary")
                assert await unary(b"", wait_for_ready=True, metadata=(("traceparent", TRACEPARENT),)) == b""
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 0

        async def sent() -> bool:
            return bool(collector.spans)

        await until(sent)
        assert collector.one("troupe.test.v1.Process/Unary").trace_id.hex() == TRACE_ID
        assert collector.resource["service.name"] == "troupe-calls"
