"""HTTP/2 without TLS: calls, slow clients, attackers, the end."""

import asyncio
import gc
import tracemalloc

import httpx2
import pytest

from tests.support.echo import Echo
from tests.support.gateway import BINARY, SERVICE, WebConnection, WebResponse, call, framed, serving_gateway
from tests.support.processes import reached
from tests.support.web_http2 import Http2Client
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.core.server import Drain
from troupe.gateway.downstream.exchange import Downstream, Upload
from troupe.gateway.downstream.http1 import Http1Limits
from troupe.gateway.server import WebServer
from troupe.gateway.wire import hpack_blocks, http2
from troupe.gateway.wire.http2_server import Http2Limits
from troupe.gateway.wire.request import RequestHead

REQUEST = pb.GetTaskRequest(task_id="a")


def run_request(count: int, **labels: str) -> pb.RunTaskRequest:
    return pb.RunTaskRequest(task=task_pb2.TaskSpec(input=str(count), labels=labels))


async def test_a_client_of_another_make(gateway: str) -> None:
    async with httpx2.AsyncClient(http1=False, http2=True) as client:
        answers = await asyncio.gather(*[client.get(f"http://{gateway}/healthz") for _ in range(20)])
        missing = await client.post(f"http://{gateway}/nowhere", content=b"x" * 10_000)
    assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
    assert missing.status_code == 404


async def test_a_long_upload(gateway: str) -> None:
    body = framed(pb.SubmitTaskRequest(task=task_pb2.TaskSpec(input="x" * 1_000_000)))
    async with httpx2.AsyncClient(http1=False, http2=True) as client:
        url = f"http://{gateway}{SERVICE}SubmitTask"
        answers = await asyncio.gather(
            *[client.post(url, content=body, headers={"content-type": BINARY}) for _ in range(3)]
        )
    for answer in answers:
        response = WebResponse(answer.status_code, dict(answer.headers), answer.content).parse()
        assert pb.SubmitTaskResponse.FromString(response.messages[0]).task.task_id == "1000000"


async def test_twenty_streams_on_one_connection(gateway: str) -> None:
    async with Http2Client.open(gateway) as client:
        streams = [client.call("RunTask", run_request(20, pad="20", name=str(n))) for n in range(20)]
        for stream_id in streams:
            response = await client.answer(stream_id)
            assert (response.status, len(response.messages), response.grpc_status) == (200, 20, 0)
            assert response.headers["x-greeting"] == "hello"


async def test_both_versions_on_one_port(gateway: str) -> None:
    async with Http2Client.open(gateway) as client:
        over_http2 = await client.answer(client.call("GetTask", REQUEST))
    over_http1 = await call(gateway, "GetTask", REQUEST)
    assert over_http2.messages == over_http1.messages
    assert over_http2.trailers == over_http1.trailers


async def test_a_preface_in_pieces(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        for byte in http2.PREFACE:
            connection.writer.write(bytes((byte,)))
            await connection.writer.drain()
        connection.writer.write(http2.settings({}))
        assert (await connection.reader.readexactly(4))[3] == http2.SETTINGS


@pytest.mark.parametrize("method", ["RunTask", "GetTask"])
async def test_a_reset_cancels_the_call_at_once(gateway: str, echo: Echo, method: str) -> None:
    async with Http2Client.open(gateway) as client:
        request = run_request(2, hold="1") if method == "RunTask" else pb.GetTaskRequest(task_id="slow")
        stream_id = client.call(method, request)
        await asyncio.wait_for(echo.started.wait(), 2)
        client.h2.reset_stream(stream_id, http2.CANCEL)
        client.flush()
        await asyncio.wait_for(echo.cancelled.wait(), 0.1)
        assert (await client.answer(client.call("GetTask", REQUEST))).grpc_status == 0


async def test_a_lost_connection_cancels_its_calls(gateway: str, echo: Echo) -> None:
    async with Http2Client.open(gateway) as client:
        client.call("RunTask", run_request(2, hold="1"))
        await asyncio.wait_for(echo.started.wait(), 2)
    await asyncio.wait_for(echo.cancelled.wait(), 0.5)


async def test_a_slow_stream_slows_only_itself(backend: str, echo: Echo) -> None:
    async with serving_gateway(backend, stream_window_bytes=64 << 10) as gateway, Http2Client.open(gateway) as client:
        slow = client.call("RunTask", run_request(400, pad="10000", name="slow"))
        await client.until(lambda: len(client.body(slow)) == 65_535)
        client.grant(1 << 24)
        for _ in range(3):
            quick = client.call("RunTask", run_request(5, pad="1000", name="quick"))
            assert len((await client.answer(quick)).messages) == 5
        assert echo.sent["slow"] < 100, "the backend goes on although nobody reads"
        client.grant(1 << 25, slow)
        response = await client.answer(slow)
        assert len(response.messages) == 400


async def test_drain_says_goodbye_and_lets_streams_end(backend: str, echo: Echo) -> None:
    drain = Drain()
    async with (
        serving_gateway(backend, drain=drain, grace_seconds=5) as gateway,
        Http2Client.open(gateway) as busy,
        Http2Client.open(gateway) as idle,
    ):
        await idle.answer(idle.call("GetTask", REQUEST))
        stream_id = busy.call("RunTask", run_request(2, hold="1"))
        await busy.until(lambda: bool(busy.body(stream_id)))
        drain.start()
        await idle.closed()
        assert idle.goodbye == (1, http2.NO_ERROR)
        await busy.until(lambda: busy.goodbye == (1, http2.NO_ERROR))
        echo.release.set()
        # h2 takes a goodbye for the end of everything, so the rest is read as it is.
        assert b"grpc-status: 0" in await asyncio.wait_for(busy.reader.read(), 5)


async def test_idle_connections_are_closed(backend: str) -> None:
    async with serving_gateway(backend, keep_alive_seconds=0.1) as gateway, Http2Client.open(gateway) as client:
        await client.closed()
        assert client.goodbye == (0, http2.NO_ERROR)


@pytest.mark.parametrize("data", [http2.PREFACE[:10], http2.PREFACE])
async def test_a_client_that_does_not_greet_in_time(backend: str, data: bytes) -> None:
    async with serving_gateway(backend, header_timeout_seconds=0.1) as gateway, WebConnection.open(gateway) as client:
        client.writer.write(data)
        await asyncio.wait_for(client.reader.read(), 5)


async def test_rapid_reset(backend: str, echo: Echo) -> None:
    async with (
        serving_gateway(backend, max_stream_resets=20) as gateway,
        Http2Client.open(gateway) as client,
        Http2Client.open(gateway) as other,
    ):
        for _ in range(30):
            client.h2.reset_stream(client.call("GetTask", pb.GetTaskRequest(task_id="slow")), http2.CANCEL)
        client.flush()
        await client.closed()
        assert client.goodbye == (41, http2.ENHANCE_YOUR_CALM)
        assert (await other.answer(other.call("GetTask", REQUEST))).grpc_status == 0


async def test_what_a_client_sends_before_it_has_read_the_goodbye_is_let_pass(backend: str) -> None:
    async with serving_gateway(backend, max_stream_resets=20) as gateway, Http2Client.open(gateway) as client:
        for _ in range(30):
            client.h2.reset_stream(client.call("GetTask", pb.GetTaskRequest(task_id="slow")), http2.CANCEL)
        client.flush()
        while data := await client.reader.read(1 << 16):
            client.events += client.h2.receive_data(data)
        assert client.goodbye == (41, http2.ENHANCE_YOUR_CALM)
        for _ in range(20):
            client.writer.write(b"x" * 1000)
            await client.writer.drain()
        assert client.reader.at_eof()
        assert not client.writer.is_closing()


async def test_who_never_stops_sending_behind_the_goodbye_is_cut_off(backend: str) -> None:
    async with serving_gateway(backend, max_stream_resets=20) as gateway, Http2Client.open(gateway) as client:
        for _ in range(30):
            client.h2.reset_stream(client.call("GetTask", pb.GetTaskRequest(task_id="slow")), http2.CANCEL)
        client.flush()

        async def sends_on() -> None:
            for _ in range(1000):
                client.writer.write(b"x" * (1 << 16))
                await client.writer.drain()

        with pytest.raises(ConnectionError):
            await sends_on()


async def test_streams_over_the_limit_are_refused(backend: str, echo: Echo) -> None:
    async with serving_gateway(backend, max_streams_per_connection=2) as gateway, Http2Client.open(gateway) as client:
        streams = [client.call("GetTask", pb.GetTaskRequest(task_id="slow")) for _ in range(3)]
        await client.until(lambda: client.resets == {streams[2]: http2.REFUSED_STREAM})
        echo.release.set()
        assert (await client.answer(streams[0])).grpc_status == 0


async def test_headers_that_are_too_long(gateway: str) -> None:
    async with Http2Client.open(gateway) as client:
        response = await client.response(client.send("GET", "/", {"x-long": "y" * 20_000}))
        assert response.status == 431
        assert (await client.answer(client.call("GetTask", REQUEST))).grpc_status == 0


async def test_a_body_that_does_not_come(backend: str) -> None:
    async with serving_gateway(backend, body_timeout_seconds=0.1) as gateway, Http2Client.open(gateway) as client:
        stream_id = client.send("POST", SERVICE + "GetTask", {"content-type": BINARY}, end=False)
        await client.until(lambda: stream_id in client.resets)
        assert client.resets[stream_id] == http2.NO_ERROR
        assert b"in time" in client.body(stream_id)


class _Flood:
    """An application that sends without an end, as long as it is not told to wait."""

    def __init__(self) -> None:
        self.streams: list[_Flooding] = []

    def handle(self, head: RequestHead, downstream: Downstream) -> Upload:
        downstream.start(200, ())
        self.streams.append(_Flooding(downstream))
        return self.streams[-1]


class _Flooding:
    def __init__(self, downstream: Downstream) -> None:
        self.downstream = downstream
        self.written = 0
        self.over = False

    def body(self, data: bytes) -> None:
        pass

    def body_ended(self) -> None:
        self.writable()

    def writable(self) -> None:
        if not self.downstream.congested and not self.over:
            self.downstream.write(b"x" * 8192)
            self.written += 8192
            asyncio.get_running_loop().call_soon(self.writable)

    def gone(self) -> None:
        self.over = True


async def test_clients_that_do_not_read_hold_little_memory_and_are_left() -> None:
    application = _Flood()
    limits = Http2Limits(write_timeout_seconds=0.5)
    server = WebServer(application=application, limits=Http1Limits(), max_connections=10, http2=limits)
    async with server.listening("127.0.0.1:0") as address, Http2Client.open(address) as client:
        tracemalloc.start()
        client.h2.update_settings({http2.INITIAL_WINDOW_SIZE: 100})
        for _ in range(50):
            client.send("GET", "/", {})
        await reached(lambda: len(application.streams) == 50)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 50 * (100 << 10)
        await client.until(lambda: len(client.resets) == 50)
        assert all(stream.over for stream in application.streams)
        assert server.refusals()["streams_stalled"] == 50
        # A client with wide windows whose socket nobody reads.
        client.h2.update_settings({http2.INITIAL_WINDOW_SIZE: 1 << 30})
        client.grant(1 << 30)
        client.send("GET", "/", {})
        await reached(lambda: server.refusals()["connections_stalled"] == 1)
        assert application.streams[-1].written < 32 << 20
        await reached(lambda: not sum(server.connections().values()))


class _Pages:
    """An application that answers at once."""

    def __init__(self) -> None:
        self.asked = 0

    def handle(self, head: RequestHead, downstream: Downstream) -> None:
        self.asked += 1
        downstream.start(204, ((b"x-pad", b"y" * 4000),), length=0)
        downstream.end()


async def test_a_client_that_asks_on_and_reads_nothing() -> None:
    application = _Pages()
    limits = Http2Limits(write_timeout_seconds=0.3)
    server = WebServer(application=application, limits=Http1Limits(), max_connections=10, http2=limits)
    block = hpack_blocks.encode(
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"localhost")]
    )
    requests = b"".join([http2.frame(http2.HEADERS, 5, n, block) for n in range(1, 40_001, 2)])
    async with server.listening("127.0.0.1:0") as address, WebConnection.open(address) as client:
        client.writer.write(http2.PREFACE + http2.settings({}) + requests)
        await reached(lambda: server.refusals()["connections_stalled"] == 1)
        assert application.asked < 15_000
        await reached(lambda: not sum(server.connections().values()))


async def test_connections_over_the_limit_are_closed() -> None:
    server = WebServer(application=_Flood(), limits=Http1Limits(), max_connections=1)
    async with server.listening("127.0.0.1:0") as address, Http2Client.open(address) as first:
        await first.until(lambda: bool(first.events))
        async with WebConnection.open(address) as second:
            assert await second.reader.read() == b""
    assert server.refusals()["connections_refused"] == 1
