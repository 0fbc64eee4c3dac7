"""Whether a door does the work: every byte of an answer, before anything is timed."""

import http.client
import select
from typing import Final

from tests.bench.gateway.doors import DIRECT, HTTP1, Door, Process
from tests.bench.gateway.lines import PATH, Http2Line
from tests.support.fast_backend import MESSAGE, Call
from troupe.gateway.wire import http2

_MESSAGES: Final = 1000
_TRAILERS: Final = (b"\x80\x00\x00\x00\x10grpc-status: 0\r\n", b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n")


def verify(door: Door, process: Process, protocol: str) -> None:
    """Calls once.

    Raises:
        AssertionError: the answer is not the backend's.
    """
    if door.name == DIRECT:
        assert _over_http2(Http2Line(process.port, web=False)) == MESSAGE * _MESSAGES, "the backend's answer is wrong"
        return
    body = _over_http1(process.port) if protocol == HTTP1 else _over_http2(Http2Line(process.port, web=True))
    assert body in [MESSAGE * _MESSAGES + trailers for trailers in _TRAILERS], f"{door.name} answered {body[-64:]!r}"


def _over_http1(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    content_type = {"content-type": "application/grpc-web+proto"}
    connection.request("POST", PATH.decode(), Call(_MESSAGES).body, content_type)
    response = connection.getresponse()
    assert response.status == 200, response.status
    return response.read()


def _over_http2(line: Http2Line) -> bytes:
    asked = line.ask(Call(_MESSAGES))
    received, body = b"", b""
    while True:
        select.select([line.socket], [], [], 10)
        data = line.socket.recv(1 << 16)
        assert data, "the connection was closed"
        received += data
        while len(received) >= http2.FRAME_HEADER_BYTES:
            length, flags, stream_id = http2.FRAME_HEADER.unpack_from(received)
            end = http2.FRAME_HEADER_BYTES + (length >> 8)
            if len(received) < end:
                break
            payload, received = received[http2.FRAME_HEADER_BYTES : end], received[end:]
            if stream_id == asked and length & 0xFF == http2.DATA:
                body += payload
            if stream_id == asked and length & 0xFF <= http2.HEADERS and flags & http2.END_STREAM:
                return body
