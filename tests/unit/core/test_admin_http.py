"""The admin port's HTTP, on bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core.telemetry.http import BadRequestError, Request, Response


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(head: bytes) -> None:
    try:
        request = Request.parse(head + b"\r\n\r\n")
    except BadRequestError:
        return
    assert request.path.startswith("/")


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_unless_it_is_unwanted_or_a_body_follows(head: bytes, keeps: bool) -> None:
    assert Request.parse(head).keep_alive is keeps


def test_the_head_is_read_as_it_was_written() -> None:
    request = Request.parse(b"HEAD /metrics?name=x HTTP/1.1\r\nAccept:text/plain \r\nX-Empty:\r\n\r\n")
    assert (request.method, request.path) == ("HEAD", "/metrics")
    assert request.headers == {"accept": "text/plain", "x-empty": ""}


def test_a_response_to_head_has_the_length_but_no_body() -> None:
    encoded = Response(200, b"four").encode(keep_alive=True, body=False)
    assert b"Content-Length: 4\r\n" in encoded
    assert encoded.endswith(b"\r\n\r\n")
