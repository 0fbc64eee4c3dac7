"""A fault of one call ends that call: the others on the same connection, to a backend or of a client, go on."""

import asyncio
import binascii
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2

from tests.support.echo import Echo, serving_echo
from tests.support.gateway import SERVICE, WebConnection, call, serving_gateway
from tests.support.processes import reached
from tests.support.raw_backend import Answer, head, message, serving_raw
from tests.support.web_http2 import Http2Client
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.gateway.wire import hpack_blocks, http2

REQUEST = pb.GetTaskRequest(task_id="a")
WATCHERS = 20
LONG = hpack_blocks.encode([(b"x", b"y" * 1000)])


def _block(stream_id: int, block: bytes, *, end: bool) -> bytes:
    return http2.headers_frames(stream_id, block, end=end, max_frame_bytes=http2.DEFAULT_FRAME_BYTES)


def _trailers(block: bytes) -> Answer:
    return lambda n: head(n) + _block(n, block, end=True)


ANSWERS: dict[str, Answer] = {
    "trailers of 70 KiB": _trailers(LONG * 70),
    "trailers of 4 MiB": _trailers(LONG * 4100),
    "only trailers, of 70 KiB": lambda n: _block(n, LONG * 70, end=True),
    "headers of 70 KiB": lambda n: _block(n, LONG * 70, end=False),
    "short headers that are many": lambda n: _block(n, b"\x82" * 4000, end=False),
    "headers of HTTP/1.1": _trailers(hpack_blocks.encode([(b"connection", b"close"), (b"Upper", b"\x00\r\n")])),
    "no status": lambda n: _block(n, LONG, end=True),
    "a status that is none": lambda n: _block(n, hpack_blocks.encode([(b":status", b"9" * 50)]), end=True),
    "headers twice": lambda n: head(n) + head(n),
    "a message before the headers": lambda n: message(n, b"early"),
    "an overrun window": lambda n: head(n) + http2.frame(http2.DATA, 0, n, b"x" * (1 << 20)) * 3,
    "a window of 2^31": lambda n: http2.window_update(n, http2.MAX_WINDOW_BYTES),
    "a window update of 0": lambda n: http2.window_update(n, 0),
    "a frame of 2 MiB": lambda n: head(n) + http2.frame(http2.DATA, 0, n, b"x" * (2 << 20)),
    "a reset": lambda n: http2.rst_stream(n, http2.INTERNAL_ERROR),
    "the end of another message": lambda n: head(n) + http2.frame(http2.DATA, http2.END_STREAM, n, b"\x00\x00"),
}


@pytest.mark.parametrize("harm", ANSWERS)
async def test_watchers_outlive_a_hostile_answer_on_their_connection(harm: str) -> None:
    async with (
        serving_raw({b"GetTask": ANSWERS[harm]}) as (backend, address),
        serving_gateway(address, connections_per_backend=1, stream_window_bytes=64 << 10) as gateway,
        AsyncExitStack() as stack,
    ):
        watchers = [await stack.enter_async_context(WebConnection.open(gateway)) for _ in range(WATCHERS)]
        for watcher in watchers:
            watcher.call("WatchTask", pb.WatchTaskRequest(task_id="a"))
            assert (await watcher.head()).status == 200
        assert await asyncio.wait_for(_fails(gateway), 10)
        backend.release()
        for watcher in watchers:
            assert await asyncio.wait_for(watcher.chunk(), 10) == b"\x00\x00\x00\x00\x05event"
            assert b"grpc-status: 0" in await watcher.chunk()
        assert backend.connections == 1


async def _fails(gateway: str) -> bool:
    try:
        return (await call(gateway, "GetTask", REQUEST)).grpc_status != 0
    except asyncio.IncompleteReadError:  # cut off, since it broke off inside a message
        return True


async def test_who_caused_it_is_told_why() -> None:
    answers = {b"GetTask": ANSWERS["trailers of 70 KiB"]}
    async with serving_raw(answers) as (_, address), serving_gateway(address) as gateway:
        refused = await call(gateway, "GetTask", REQUEST)
    assert refused.grpc_status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "headers or trailers of more than 65536 bytes" in refused.grpc_message


class _Long(Echo):
    """Fails with trailers of any length, as gRPC lets servers do."""

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.GetTaskResponse:
        trailers = tuple((f"x-{n}", "y" * 1000) for n in range(int(request.task_id)))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused at length", trailers)
        raise AssertionError

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Any) -> AsyncIterator[pb.WatchTaskResponse]:
        yield pb.WatchTaskResponse()
        await self.release.wait()


@pytest.mark.parametrize("kib", [1, 60, 70, 200, 2000])
async def test_watchers_outlive_long_trailers_of_a_real_server(kib: int) -> None:
    async with (
        serving_echo(_Long()) as backend,
        serving_gateway(backend, connections_per_backend=1) as gateway,
        Http2Client.open(gateway) as client,
    ):
        watchers = [client.call("WatchTask", pb.WatchTaskRequest(task_id="a")) for _ in range(WATCHERS)]
        await client.until(lambda: all(client.body(watcher) for watcher in watchers))
        refused = await call(gateway, "GetTask", pb.GetTaskRequest(task_id=str(kib)))
        assert refused.grpc_status in (3, 8)
        assert (await call(gateway, "GetTask", pb.GetTaskRequest(task_id="0"))).grpc_status == 3
        assert not any(client.ended(watcher) for watcher in watchers)
        assert not client.resets


def _nested_details(levels: int) -> bytes:
    """Details of an error, each in the next, deeper than a reader of them can go."""
    detail = any_pb2.Any()
    for _ in range(levels):
        outer = any_pb2.Any()
        outer.Pack(detail)
        detail = outer
    status = status_pb2.Status(code=3, details=[detail])
    return hpack_blocks.encode(
        [(b"grpc-status", b"3"), (b"grpc-status-details-bin", binascii.b2a_base64(status.SerializeToString()).strip())]
    )


async def test_watchers_outlive_an_answer_that_the_gateway_cannot_read() -> None:
    async with (
        serving_raw({b"GetTask": _trailers(_nested_details(600))}) as (backend, address),
        serving_gateway(address, connections_per_backend=1) as gateway,
        Http2Client.open(gateway) as client,
    ):
        watchers = [client.call("WatchTask", pb.WatchTaskRequest(task_id="a")) for _ in range(WATCHERS)]
        await client.until(lambda: all(client.answered(watcher) for watcher in watchers))
        async with WebConnection.open(gateway) as connection:
            connection.send("POST", f"{SERVICE}GetTask", {"content-type": "application/json"}, b"{}")
            assert (await connection.response()).status in (400, 500)
        backend.release()
        for watcher in watchers:
            assert (await client.answer(watcher)).messages == [b"event"]
        assert backend.connections == 1


REQUESTS: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "headers of 40 KiB": ([("x", "y" * 1000)] * 40, b""),
    "headers of 400 KiB": ([("x", "y" * 1000)] * 400, b""),
    "many headers": ([(f"x-{n}", "") for n in range(3000)], b""),
    "a name in upper case": ([("X-UPPER", "y")], b""),
    "a line end in a value": ([("x", "a\r\nb: c")], b""),
    "a header of HTTP/1.1": ([("connection", "close")], b""),
    "two hosts": ([("host", "elsewhere")], b""),
    "a late pseudo-header": ([("x", "y"), (":path", "/")], b""),
    "a length that is none": ([("content-length", "x")], b""),
    "an overrun window": ([], http2.frame(http2.DATA, 0, 0x55AA, b"x" * 16_000) * 8),
    "a window of 2^31": ([], http2.window_update(0x55AA, http2.MAX_WINDOW_BYTES)),
    "a window update of 0": ([], http2.window_update(0x55AA, 0)),
    "a frame of 1 MiB": ([], http2.frame(http2.DATA, 0, 0x55AA, b"x" * (1 << 20))),
    "trailers with pseudo-headers": ([], http2.frame(http2.HEADERS, 5, 0x55AA, b"\x82")),
}


@pytest.mark.parametrize("harm", REQUESTS)
async def test_streams_of_a_client_outlive_a_hostile_one_beside_them(gateway: str, echo: Echo, harm: str) -> None:
    headers, frames = REQUESTS[harm]
    async with Http2Client.open(gateway) as client:
        spec = task_pb2.TaskSpec(input="2", labels={"hold": "1"})
        watchers = [client.call("RunTask", pb.RunTaskRequest(task=spec)) for _ in range(WATCHERS)]
        await client.until(lambda: all(client.body(watcher) for watcher in watchers))
        client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
        hostile = client.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", gateway)]
        own = [*pseudo, ("content-type", "application/grpc"), *headers]
        client.h2.send_headers(hostile, own, end_stream=not frames)
        client.flush()
        client.writer.write(frames.replace(b"\x00\x00\x55\xaa", hostile.to_bytes(4, "big")))
        await client.until(lambda: hostile in client.resets or client.ended(hostile))
        echo.release.set()
        for watcher in watchers:
            assert (await client.answer(watcher)).grpc_status == 0
        assert client.goodbye is None
        await reached(lambda: client.h2.open_outbound_streams == 0)
        assert (await client.answer(client.call("GetTask", REQUEST))).messages == [
            pb.GetTaskResponse(task=task_pb2.Task(task_id="a")).SerializeToString()
        ]
