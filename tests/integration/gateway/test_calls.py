"""Calls through the gateway to a real gRPC server."""

import asyncio
import base64

import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.support.echo import FAILURE, Echo
from tests.support.gateway import BINARY, SERVICE, TEXT, WebConnection, call, framed
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.api.orchestrator.v1 import task_pb2
from troupe.gateway.wire import percent

MEDIA = pytest.mark.parametrize("media", [BINARY, TEXT, "application/grpc-web", "application/grpc-web-text"])


def run_request(count: int, **labels: str) -> pb.RunTaskRequest:
    return pb.RunTaskRequest(task=task_pb2.TaskSpec(input=str(count), labels=labels))


@MEDIA
async def test_unary(gateway: str, media: str) -> None:
    response = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="a"), media=media)
    assert response.status == 200
    assert response.headers["content-type"].startswith(media)
    assert [pb.GetTaskResponse.FromString(m).task.task_id for m in response.messages] == ["a"]
    assert response.trailers["grpc-status"] == "0"
    assert response.trailers["x-farewell"] == "bye"


@MEDIA
async def test_stream_comes_whole_and_in_order(gateway: str, media: str) -> None:
    response = await call(gateway, "RunTask", run_request(300, pad="200"), media=media)
    events = [event for m in response.messages for event in pb.RunTaskResponse.FromString(m).events]
    assert [event.sequence for event in events] == list(range(1, 301))
    assert all(event.text_delta.text == "x" * 200 for event in events)
    assert response.grpc_status == 0


async def test_events_come_as_they_happen(gateway: str, echo: Echo) -> None:
    async with WebConnection.open(gateway) as connection:
        connection.call("RunTask", run_request(2, hold="1"))
        await connection.head()
        first = pb.RunTaskResponse.FromString((await connection.chunk())[5:])
        assert first.events[0].sequence == 1
        echo.release.set()
        rest = b""
        while data := await connection.chunk():
            rest += data
        assert b"grpc-status: 0" in rest


async def test_metadata_passes_both_ways(gateway: str, echo: Echo) -> None:
    raw = base64.b64encode(b"\x00\x01\xff").decode().rstrip("=")
    response = await call(gateway, "RunTask", run_request(1), x_mark="m", x_data_bin=raw, authorization="Bearer t")
    assert echo.metadata["x-mark"] == "m"
    assert echo.metadata["authorization"] == "Bearer t"
    assert echo.metadata["x-data-bin"] == b"\x00\x01\xff"
    assert response.headers["x-greeting"] == "hello"
    assert base64.b64decode(response.headers["x-raw-bin"] + "==") == b"\x00\xff\x10"
    assert response.trailers["x-farewell"] == "bye"
    assert base64.b64decode(response.trailers["x-tail-bin"] + "==") == b"\xfe\x01"


async def test_request_id_is_kept_or_made(gateway: str, echo: Echo) -> None:
    kept = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="a"), x_request_id="mine")
    assert kept.headers["x-request-id"] == echo.metadata["x-request-id"] == "mine"
    made = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="a"))
    assert made.headers["x-request-id"] == echo.metadata["x-request-id"]
    again = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="a"))
    assert 26 < len(made.headers["x-request-id"]) < 64
    assert made.headers["x-request-id"] != again.headers["x-request-id"]


@MEDIA
async def test_error_keeps_code_message_and_details(gateway: str, media: str) -> None:
    response = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="missing"), media=media)
    assert response.status == 200
    assert response.messages == []
    assert response.grpc_status == 5
    assert percent.decode(response.grpc_message.encode()) == FAILURE
    details = response.trailers.get("grpc-status-details-bin") or response.headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=="))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "TASK_NOT_FOUND"


async def test_method_that_the_backend_lacks(gateway: str) -> None:
    response = await call(gateway, "ListAgents", pb.ListAgentsRequest())
    assert response.grpc_status == 12


async def test_deadline_is_forwarded_and_enforced(gateway: str, echo: Echo) -> None:
    started = asyncio.get_running_loop().time()
    response = await call(gateway, "GetTask", pb.GetTaskRequest(task_id="slow"), grpc_timeout="200m")
    assert response.grpc_status == 4
    assert 0.15 < asyncio.get_running_loop().time() - started < 1
    assert echo.time_remaining is not None
    assert echo.time_remaining < 0.2
    await asyncio.wait_for(echo.cancelled.wait(), 1)


async def test_deadline_ends_an_open_stream(gateway: str) -> None:
    response = await call(gateway, "RunTask", run_request(3, hold="1"), grpc_timeout="200m")
    assert len(response.messages) == 2
    assert response.trailers["grpc-status"] == "4"


@pytest.mark.parametrize("method", ["RunTask", "GetTask"])
async def test_client_that_goes_cancels_the_call_at_once(gateway: str, echo: Echo, method: str) -> None:
    request = run_request(2, hold="1") if method == "RunTask" else pb.GetTaskRequest(task_id="slow")
    async with WebConnection.open(gateway) as connection:
        connection.call(method, request)
        await asyncio.wait_for(echo.started.wait(), 2)
    await asyncio.wait_for(echo.cancelled.wait(), 0.1)


async def test_one_connection_serves_many_calls(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        for task_id in map(str, range(20)):
            connection.call("GetTask", pb.GetTaskRequest(task_id=task_id))
            response = await connection.answer()
            assert pb.GetTaskResponse.FromString(response.messages[0]).task.task_id == task_id


async def test_pipelined_calls_are_answered_in_order(gateway: str) -> None:
    async with WebConnection.open(gateway) as connection:
        for task_id in map(str, range(20)):
            connection.call("GetTask", pb.GetTaskRequest(task_id=task_id))
        answers = [await connection.answer() for _ in range(20)]
    tasks = [pb.GetTaskResponse.FromString(answer.messages[0]).task.task_id for answer in answers]
    assert tasks == [str(number) for number in range(20)]


async def test_body_in_chunks_and_in_single_bytes(gateway: str) -> None:
    body = framed(pb.GetTaskRequest(task_id="chunks"))
    async with WebConnection.open(gateway) as connection:
        fields = f"host: localhost\r\ncontent-type: {BINARY}\r\ntransfer-encoding: chunked\r\n\r\n"
        raw = (
            f"POST {SERVICE}GetTask HTTP/1.1\r\n{fields}".encode()
            + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
            + b"0\r\n\r\n"
        )
        for byte in raw:
            connection.writer.write(bytes([byte]))
            await connection.writer.drain()
        response = await connection.answer()
    assert pb.GetTaskResponse.FromString(response.messages[0]).task.task_id == "chunks"


async def test_text_body_with_padding_in_its_middle(gateway: str) -> None:
    body = framed(pb.GetTaskRequest(task_id="padded"))
    encoded = b"".join(base64.b64encode(body[i : i + 4]) for i in range(0, len(body), 4))
    async with WebConnection.open(gateway) as connection:
        connection.send("POST", SERVICE + "GetTask", {"content-type": TEXT}, encoded)
        response = await connection.answer()
    assert pb.GetTaskResponse.FromString(response.messages[0]).task.task_id == "padded"


async def test_large_request_passes_the_windows_of_the_backend(gateway: str) -> None:
    text = "y" * 3_000_000
    response = await call(gateway, "SubmitTask", pb.SubmitTaskRequest(task=task_pb2.TaskSpec(input=text)))
    assert pb.SubmitTaskResponse.FromString(response.messages[0]).task.task_id == "3000000"


async def test_message_over_the_limit_is_refused(gateway: str) -> None:
    text = "y" * (5 << 20)
    response = await call(gateway, "SubmitTask", pb.SubmitTaskRequest(task=task_pb2.TaskSpec(input=text)))
    assert response.grpc_status == 8
    assert str(4 << 20) in response.grpc_message


async def test_many_calls_at_once(gateway: str) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call(gateway, "RunTask", run_request(20))) for _ in range(100)]
    assert [len(task.result().messages) for task in calls] == [20] * 100


async def test_slow_client_holds_its_own_stream_back_and_no_other(gateway: str, echo: Echo) -> None:
    async with WebConnection.open(gateway) as slow:
        slow.call("RunTask", run_request(4000, pad="20000", name="slow"))
        await slow.head()
        total = len(await slow.chunk())
        quick = await call(gateway, "RunTask", run_request(4000, pad="20000", name="quick"))
        assert len(quick.messages) == 4000
        # What the sockets' and the stream's buffers hold: some MiB of the 80 that are asked for.
        assert echo.sent["slow"] * 20_000 < 24 << 20
        while data := await slow.chunk():
            total += len(data)
    assert total > 80_000_000
