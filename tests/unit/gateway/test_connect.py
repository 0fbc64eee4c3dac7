"""The Connect protocol's own grammars and bodies."""

import base64
import gzip
import json
import struct
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from troupe.gateway.wire import compression, http1, metadata, status
from troupe.gateway.wire.compression import CompressionError, DecompressedTooLargeError
from troupe.gateway.wire.connect import ConnectTerms, opening
from troupe.gateway.wire.connect_errors import error_object
from troupe.gateway.wire.connect_media import ConnectMedia, parse_connect_media, parse_connect_query
from troupe.gateway.wire.connect_stream import ConnectStream, ConnectTranslatedStream
from troupe.gateway.wire.connect_unary import ConnectUnary
from troupe.gateway.wire.dialect import RequestError, ResponseError
from troupe.gateway.wire.framing import MessageCutter, MessageLimitError, MessageScanner, message_frame
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.status_details import read_details

OK = GrpcStatus(b"0", ())
messages = st.lists(st.binary(max_size=50))
cuts = st.lists(st.integers(1, 9), min_size=1)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    parts: list[bytes] = []
    while data:
        size = sizes[len(parts) % len(sizes)]
        parts.append(data[:size])
        data = data[size:]
    return parts


def head(**headers: str) -> RequestHead:
    lines = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return http1.parse_head(f"POST /s.S/M HTTP/1.1\r\nhost: h{lines}".encode())


def terms(max_bytes: int = 100) -> ConnectTerms:
    return ConnectTerms(max_bytes, max_bytes, lambda _: None)


def http_value(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


class Reversing:
    """A codec that turns messages round."""

    def check(self) -> None:
        pass

    def request(self, message: bytes) -> bytes:
        return message[::-1]

    def response(self, message: bytes) -> bytes:
        return message[::-1]


def unary(**headers: str) -> ConnectUnary:
    return ConnectUnary(head(**headers), ConnectMedia(b"proto", stream=False), None, terms())


def translated() -> ConnectTranslatedStream:
    scanner = MessageScanner(max_message_bytes=100)
    return ConnectTranslatedStream(head(), ConnectMedia(b"json", stream=True), Reversing(), terms(), scanner=scanner)


@given(messages, cuts)
def test_messages_are_cut_out_however_they_come(parts: list[bytes], sizes: list[int]) -> None:
    cutter = MessageCutter(max_message_bytes=50)
    body = b"".join(map(message_frame, parts))
    cut = [message for piece in pieces(body, sizes) for message in cutter.feed(piece)]
    assert cut == [(0, part) for part in parts]


@given(messages, cuts)
def test_streams_are_translated_however_they_come(parts: list[bytes], sizes: list[int]) -> None:
    stream = translated()
    stream.open()
    body = b"".join(map(message_frame, parts))
    turned = b"".join([message_frame(part[::-1]) for part in parts])
    sent = b"".join([*map(stream.request, pieces(body, sizes)), stream.request_end()])
    stream.begin(())
    assert sent == turned
    assert b"".join(map(stream.response, pieces(turned, sizes))) == body


@given(st.binary(max_size=100), cuts)
def test_unary_bodies_become_messages_however_they_come(body: bytes, sizes: list[int]) -> None:
    call = unary()
    call.open()
    assert b"".join(map(call.request, pieces(body, sizes))) == b""
    frame = call.request_end()
    assert frame == message_frame(body)
    call.begin(((b"x-a", b"1"), (b"grpc-encoding", b"identity")))
    assert b"".join(map(call.response, pieces(frame, sizes))) == b""
    ending = call.finish(OK, ((b"x-b", b"2"),), started=False)
    assert ending.body == body
    assert ending.head is not None
    assert ending.head.headers == ((b"content-type", b"application/proto"), (b"x-a", b"1"), (b"trailer-x-b", b"2"))


def test_messages_to_be_cut_are_bounded_by_their_header() -> None:
    with pytest.raises(MessageLimitError, match="51 bytes; at most 50"):
        MessageCutter(max_message_bytes=50).feed(b"\x00\x00\x00\x00\x33")


def test_unary_response_without_a_message() -> None:
    call = unary()
    call.begin(())
    with pytest.raises(ResponseError, match="0 messages") as caught:
        call.finish(OK, (), started=False)
    assert caught.value.code is Code.UNIMPLEMENTED


def test_unary_response_of_two_messages() -> None:
    call = unary()
    call.begin(())
    with pytest.raises(ResponseError, match="2 messages") as caught:
        call.response(message_frame(b"a") + message_frame(b"b"))
    assert caught.value.code is Code.UNIMPLEMENTED


def test_compressed_messages_of_the_backend() -> None:
    accepting, plain, lost = unary(accept_encoding="gzip"), unary(), unary(accept_encoding="gzip")
    packed = compression.compress(b"abc")
    for call, encoding in ((accepting, b"gzip"), (plain, b"gzip"), (lost, b"deflate")):
        call.begin(((b"grpc-encoding", encoding),))
        call.response(message_frame(packed, compressed=True))
    assert accepting.finish(OK, (), started=False).body == packed
    assert plain.finish(OK, (), started=False).body == b"abc"
    with pytest.raises(ResponseError, match="deflate"):
        lost.finish(OK, (), started=False)


def test_stream_ends_with_error_and_metadata() -> None:
    scanner = MessageScanner(max_message_bytes=9)
    stream = ConnectStream(head(), ConnectMedia(b"proto", stream=True), None, terms(), scanner=scanner)
    outcome = metadata.grpc_status(Code.NOT_FOUND, "nö")
    body = stream.finish(outcome, ((b"x-a", b"1"), (b"x-a", b"2")), started=True).body
    flags, length = struct.unpack_from(">BI", body)
    assert (flags, length) == (2, len(body) - 5)
    assert json.loads(body[5:]) == {"error": {"code": "not_found", "message": "nö"}, "metadata": {"x-a": ["1", "2"]}}
    assert stream.finish(OK, (), started=True).body == b"\x02\x00\x00\x00\x02{}"


@pytest.mark.parametrize(
    ("content_type", "media"),
    [
        (b"application/proto", ConnectMedia(b"proto", stream=False)),
        (b"Application/JSON; charset=UTF-8", ConnectMedia(b"json", stream=False)),
        (b'application/json;charset="utf-8"', ConnectMedia(b"json", stream=False)),
        (b"application/connect+proto", ConnectMedia(b"proto", stream=True)),
        (b"application/connect+json", ConnectMedia(b"json", stream=True)),
        (b"application/json; charset=latin-1", None),
        (b"application/jsonx", None),
        (b"application/connect", None),
        (b"application/grpc-web+proto", None),
        (b"", None),
    ],
)
def test_media(content_type: bytes, media: ConnectMedia | None) -> None:
    assert parse_connect_media(content_type) == media


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(text: bytes) -> None:
    try:
        parse_connect_query(text).message()
    except RequestError:
        return


@pytest.mark.parametrize("text", [b"-_8", b"-_8=", b"%2B%2F8%3D", b"+/8"])
def test_query_in_base64(text: bytes) -> None:
    assert parse_connect_query(b"base64=1&message=" + text).message() == b"\xfb\xff"


@pytest.mark.parametrize(
    ("timeout_ms", "grpc_timeout", "seconds"),
    [
        (b"0", b"0m", 0),
        (b"1500", b"1500m", 1.5),
        (b"99999999", b"99999999m", 99999.999),
        (b"9999999999", b"9999999S", 9999999.999),
    ],
)
def test_timeouts(timeout_ms: bytes, grpc_timeout: bytes, seconds: float) -> None:
    opened = opening(timeout_ms=timeout_ms, codec=None, request_gzip=False, accepts_gzip=False)
    assert dict(opened.headers)[b"grpc-timeout"] == grpc_timeout
    assert opened.timeout_seconds == seconds


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (b"gzip", True),
        (b"deflate, GZIP ;q=0.5", True),
        (b"*", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000", False),
        (b"x-gzip", False),
    ],
)
def test_accepted_encodings(accept: bytes, accepted: bool) -> None:
    assert compression.accepts_gzip(accept) is accepted


@given(st.binary(max_size=300))
def test_gzip_is_unpacked(data: bytes) -> None:
    assert compression.decompress(compression.compress(data), len(data)) == data
    assert compression.decompress(gzip.compress(data), len(data)) == data
    with pytest.raises(CompressionError, match="bytes follow"):
        compression.decompress(gzip.compress(data) * 2, 1000)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 20))
def test_gzip_that_is_cut_or_too_long(data: bytes, missing: int) -> None:
    packed = compression.compress(data)
    with pytest.raises(CompressionError):
        compression.decompress(packed[: max(1, len(packed) - missing)], 300)
    with pytest.raises(DecompressedTooLargeError):
        compression.decompress(packed, len(data) - 1)


@given(st.binary(max_size=60))
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    try:
        compression.decompress(data, 100)
    except (CompressionError, DecompressedTooLargeError):
        return


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), st.binary(max_size=200))))
def test_details_of_a_status(details: list[tuple[str, bytes]]) -> None:
    whole = status_pb2.Status(code=5, message="m")
    whole.details.extend([any_pb2.Any(type_url=f"type.googleapis.com/{name}", value=value) for name, value in details])
    read = read_details(http_value(whole.SerializeToString()))
    assert [(detail.type_name, detail.value) for detail in read] == [
        (name.rpartition("/")[2], value) for name, value in details
    ]


@given(st.binary(max_size=60))
def test_any_details_are_read(data: bytes) -> None:
    read_details(data)
    read_details(http_value(data))


@pytest.mark.parametrize("code", list(Code)[1:])
def test_codes(code: Code) -> None:
    error: dict[str, Any] = error_object(metadata.grpc_status(code, ""), lambda _: None)
    assert error == {"code": "canceled" if code is Code.CANCELLED else code.name.lower()}
    assert http1.response_head(status.to_http(code), []).startswith(b"HTTP/1.1 %d " % status.to_http(code))


@pytest.mark.parametrize("code", [b"17", b"-1", b"x", b""])
def test_codes_that_are_none(code: bytes) -> None:
    assert GrpcStatus(code, ()).error_code is Code.UNKNOWN


def test_debug_of_details() -> None:
    written = status_pb2.Status(code=5)
    written.details.add().Pack(error_details_pb2.ErrorInfo(reason="R"))
    outcome = metadata.grpc_status(Code.NOT_FOUND, "m", http_value(written.SerializeToString()))
    (detail,) = error_object(outcome, lambda detail: {"seen": detail.type_name})["details"]
    assert detail == {"type": "google.rpc.ErrorInfo", "value": "CgFS", "debug": {"seen": "google.rpc.ErrorInfo"}}
