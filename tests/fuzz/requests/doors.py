"""The doors: each sends one request and says how it ended. Of a stream the first message is enough."""

import base64
import json
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from tests.fuzz.requests.encodings import framed
from tests.fuzz.requests.methods import Called
from tests.support.gateway import WebConnection, WebResponse
from tests.support.websocket import WebSocketClient

_OK: Final = "OK"
CUT: Final = "CUT"
"""The call had ended before all messages were sent: the client then makes up a status, and keeps the server's back."""
_CUT_OFF: Final = "Internal error from Core"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended."""

    status: str
    """The name of a code of gRPC."""
    reason: str = ""
    """Of Troupe; empty when the error has no details."""
    message: str = ""


async def over_grpc(channel: Any, called: Called, *messages: bytes) -> Outcome:
    """gRPC, at a service's own port or at the gateway's."""
    request: Any = _stream(messages) if called.client_streaming else messages[0]
    shape = f"{_side(called.client_streaming)}_{_side(called.server_streaming)}"
    call = getattr(channel, shape)(called.path)(request)
    try:
        if called.server_streaming:
            async for _ in call:
                return Outcome(_OK)
        else:
            await call
    except grpc.aio.AioRpcError:
        code, details, trailers = await call.code(), await call.details(), await call.trailing_metadata()
        if details == _CUT_OFF:
            return Outcome(CUT)
        found = {str(key): value for key, value in trailers or ()}
        return Outcome(code.name, _reason(found.get("grpc-status-details-bin")), details or "")
    finally:
        call.cancel()
    return Outcome(_OK)


async def over_grpc_web(address: str, called: Called, *messages: bytes) -> Outcome:
    """gRPC-Web, binary."""
    headers = {"content-type": "application/grpc-web+proto"}
    response = await _post(address, called.path, headers, b"".join(map(framed, messages)))
    if "grpc-status" in response.headers:
        return _from_trailers(response.headers)
    flags, payload = _frame(response.body)
    if not flags & 0x80:
        return Outcome(_OK)
    return _from_trailers(dict(line.split(": ", 1) for line in payload.decode().splitlines()))


async def over_connect(address: str, called: Called, codec: str, *messages: bytes) -> Outcome:
    """Connect, `proto` or `json`, unary or a stream."""
    if not (called.client_streaming or called.server_streaming):
        response = await _post(address, called.path, {"content-type": f"application/{codec}"}, messages[0])
        return Outcome(_OK) if response.status == 200 else _from_connect(json.loads(response.body), response.status)
    headers = {"content-type": f"application/connect+{codec}"}
    response = await _post(address, called.path, headers, b"".join(map(framed, messages)))
    assert response.status == 200, f"{response.status} {response.body[:200]!r}"
    flags, payload = _frame(response.body)
    end = json.loads(payload) if flags & 2 else {}
    return _from_connect(end["error"], 0) if "error" in end else Outcome(_OK)


async def over_http(address: str, path: str, body: bytes | None = None, **headers: str) -> Outcome:
    """The plain endpoints."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        response = await _send(address, "GET", path, named, b"")
    else:
        response = await _post(address, path, {"content-type": "application/json", **named}, body)
    if response.status < 300:
        return Outcome(_OK)
    return _from_plain(json.loads(response.body), response.status)


async def over_websocket(address: str, task_id: str, text: str) -> Outcome:
    """A WebSocket: the answer to a message, or what the socket closes with."""
    async with WebSocketClient.open(address, f"/ws/{quote(task_id, safe='')}") as socket:
        socket.send(text)
        while (answer := await socket.receive()) is not None:
            if "error" in answer:
                return _from_plain(answer, 0)
            if "reply" in answer:
                return Outcome(_OK)
    return Outcome(_OK)


async def _post(address: str, path: str, headers: Mapping[str, str], body: bytes) -> WebResponse:
    return await _send(address, "POST", path, headers, body)


async def _send(address: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> WebResponse:
    """The response, of a stream as far as the end of its first message."""
    async with WebConnection.open(address) as connection:
        connection.send(method, path, headers, body)
        response = await connection.head()
        if "content-length" in response.headers:
            response.body = await connection.reader.readexactly(int(response.headers["content-length"]))
        elif response.headers.get("transfer-encoding") == "chunked":
            while data := await connection.chunk():
                response.body += data
                if _is_enough(response):
                    break
        return response


def _is_enough(response: WebResponse) -> bool:
    if response.headers["content-type"].startswith("text/event-stream"):
        return b"\n\n" in response.body
    return len(response.body) >= 5 and len(response.body) >= 5 + struct.unpack_from(">BI", response.body)[1]


def _frame(body: bytes) -> tuple[int, bytes]:
    flags, length = struct.unpack_from(">BI", body)
    return flags, body[5 : 5 + length]


def _from_trailers(trailers: Mapping[str, str]) -> Outcome:
    details = trailers.get("grpc-status-details-bin", "")
    name = _NAMES[int(trailers["grpc-status"])]
    return Outcome(
        name, _reason(base64.b64decode(details + "==") if details else None), trailers.get("grpc-message", "")
    )


def _from_connect(error: Mapping[str, Any], http_status: int) -> Outcome:
    assert http_status != 500 or error["code"] in {"internal", "unknown"}, f"{http_status} {error}"
    reasons = [d["debug"]["reason"] for d in error.get("details", ()) if d["type"] == "google.rpc.ErrorInfo"]
    name = error["code"].upper().replace("CANCELED", "CANCELLED")
    return Outcome(name, reasons[0] if reasons else "", error.get("message", ""))


def _from_plain(answer: Mapping[str, Any], http_status: int) -> Outcome:
    error = answer["error"]
    assert http_status != 500 or error["code"] in {"INTERNAL", "UNKNOWN"}, f"{http_status} {error}"
    return Outcome(error["code"], error.get("reason", ""), error["message"])


def _reason(details: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(details).details if details else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


async def _stream(messages: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


def _side(streaming: bool) -> str:
    return "stream" if streaming else "unary"


_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
