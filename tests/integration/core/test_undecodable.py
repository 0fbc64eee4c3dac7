"""Requests that are no messages: INVALID_ARGUMENT with details and one line of log, whatever the method's shape."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.support.processes import until
from tests.support.task_server import task_server
from tests.support.web_http2 import Http2Client
from troupe.core.channels import open_channel
from troupe.core.errors import TroupeError

TASKS = "/troupe.api.orchestrator.v1.OrchestratorService/"
MEMORY = "/troupe.api.memory.v1.MemoryService/"
UNARY = (TASKS + "GetTask", TASKS + "SubmitTask", MEMORY + "Search", "/grpc.health.v1.Health/Check")
SERVER_STREAMS = (TASKS + "RunTask", TASKS + "WatchTask", MEMORY + "Ingest", "/grpc.health.v1.Health/Watch")
CLIENT_STREAMS = ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",)
GARBAGE = (b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff", b"\x0f\x01", b"\x00\x00", bytes(range(255, 0, -1)))


@pytest.fixture
async def channel() -> AsyncIterator[Any]:
    """A channel of untyped bytes."""
    async with task_server() as (_, address), open_channel(address, retries=False) as opened:
        yield opened


async def ends_with(channel: Any, path: str, data: bytes) -> TroupeError:
    try:
        if path in UNARY:
            await channel.unary_unary(path)(data)
        elif path in SERVER_STREAMS:
            async for _ in channel.unary_stream(path)(data):
                pass
        else:
            async for _ in channel.stream_stream(path)(iter([data])):
                pass
    except grpc.aio.AioRpcError as error:
        return TroupeError.from_rpc(error)
    raise AssertionError(f"{path} took {data!r}")


@pytest.mark.parametrize("path", [*UNARY, *SERVER_STREAMS, *CLIENT_STREAMS])
async def test_what_is_no_message_is_refused(
    channel: Any, path: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for data in GARBAGE:
        error = await ends_with(channel, path, data)
        assert (error.code.name, error.reason_name, error.retryable) == ("INVALID_ARGUMENT", "INVALID_REQUEST", False)
        assert error.metadata == {"retryable": "false"}  # from the details: a bare status has none
        assert "is not a `" in error.message
    quiet = path.startswith(("/grpc.health", "/grpc.reflection"))
    lines: list[str] = []

    async def logged() -> bool:  # a call is logged when it has ended, which its client may hear before
        lines.extend(line for line in capsys.readouterr().out.splitlines() if "serving" not in line)
        return quiet or len(lines) >= len(GARBAGE)

    await until(logged)
    assert len(lines) == (0 if quiet else len(GARBAGE)), lines
    assert all("status=INVALID_ARGUMENT" in line for line in lines)
    assert not caplog.records


async def test_messages_before_the_broken_one_were_taken(channel: Any) -> None:
    def requests() -> Iterator[bytes]:
        yield b"\x3a\x00"  # list_services
        yield b"\xff"

    call = channel.stream_stream(CLIENT_STREAMS[0])(requests())
    answers = aiter(call)
    assert b"OrchestratorService" in await anext(answers)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(answers)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("body", [b"", b"\0\0", b"\0\0\0\0\4\x0a"])
@pytest.mark.parametrize("method", ["GetTask", "WatchTask"])
async def test_a_call_without_a_whole_message_ends(method: str, body: bytes) -> None:
    headers = {"content-type": "application/grpc", "te": "trailers"}
    async with task_server() as (_, address), Http2Client.open(address) as client:
        stream = client.send("POST", TASKS + method, headers, end=False)
        client.h2.send_data(stream, body, end_stream=True)
        client.flush()
        answer = await client.response(stream)
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert "grpc-status-details-bin" in answer.headers


async def test_calls_that_are_given_up_at_once_leave_no_trace_in_the_log(
    channel: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for path in (UNARY[0], SERVER_STREAMS[1]):
        shape = channel.unary_unary if path in UNARY else channel.unary_stream
        calls = [shape(path)(b"\x0a\x01x") for _ in range(50)]
        for place, call in enumerate(calls):
            await asyncio.sleep(0)
            if place % 2:
                call.cancel()
        ended = await asyncio.gather(*(call.code() for call in calls))
        assert set(ended) <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.NOT_FOUND}
    assert "Traceback" not in capsys.readouterr().out
    assert not caplog.records
