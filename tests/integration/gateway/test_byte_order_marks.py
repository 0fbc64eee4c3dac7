"""Windows begins texts in UTF-8 with a byte order mark; JSON is taken with one, whichever way it comes."""

import json
import struct
from codecs import BOM_UTF8

import pytest

from tests.support.gateway import SERVICE, WebConnection, serving_gateway
from tests.support.task_server import TASK_ID, task_server
from tests.support.websocket import WebSocketClient

MESSAGE = BOM_UTF8 + b'{"taskId": "%b"}' % TASK_ID.encode()
FRAME = struct.pack(">BI", 0, len(MESSAGE)) + MESSAGE
REQUESTS = {
    "Connect": ("POST", f"{SERVICE}GetTask", "application/json", MESSAGE),
    "a Connect stream": ("POST", f"{SERVICE}WatchTask", "application/connect+json", FRAME),
    "a task": ("POST", "/run-task", "application/json; charset=utf-8", BOM_UTF8 + b'\r\n{"user_input": "x"}\r\n'),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_requests(name: str) -> None:
    method, path, content_type, body = REQUESTS[name]
    async with (
        task_server() as (_, backend),
        serving_gateway(backend) as gateway,
        WebConnection.open(gateway) as connection,
    ):
        connection.send(method, path, {"content-type": content_type}, body)
        response = await connection.response()
    assert response.status == 200
    assert b'"code"' not in response.body


async def test_messages_of_a_socket() -> None:
    order = BOM_UTF8.decode() + json.dumps({"cancel": {"reason": "enough"}})
    async with task_server() as (server, backend), serving_gateway(backend) as gateway:
        server.pause_after = 3
        async with WebSocketClient.open(gateway, f"/ws/{TASK_ID}") as client:
            client.send(order)
            messages = [await client.receive() for _ in range(4)]
    assert {"request": "cancel", "state": "TASK_STATE_CANCELLED"} in [message.get("reply") for message in messages]
