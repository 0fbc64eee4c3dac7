"""The Connect protocol: queries, streams, errors, compressed messages."""

import binascii
import json
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any, Final

from tests.fuzz.target import Target, cut, equal, hold
from troupe.gateway.wire import http1, status
from troupe.gateway.wire.metadata import GrpcStatus


def _module(name: str) -> Any:
    """A module, untyped, since not every version of the gateway has it; None where it is missing."""
    return import_module(name) if find_spec(name) else None


_connect: Final = _module("troupe.gateway.wire.connect")
_errors: Final = _module("troupe.gateway.wire.connect_errors")
_media: Final = _module("troupe.gateway.wire.connect_media")
_stream: Final = _module("troupe.gateway.wire.connect_stream")
_unary: Final = _module("troupe.gateway.wire.connect_unary")
_dialect: Final = _module("troupe.gateway.wire.dialect")
_framing: Final = _module("troupe.gateway.wire.framing")
_compression: Final = _module("troupe.gateway.wire.compression")

_MAX_MESSAGE_BYTES: Final = 300
_OK: Final = GrpcStatus(b"0", ((b"grpc-status", b"0"),))
_QUERY_TOKENS: Final = (
    b"&", b"=", b"%", b"%3D", b"+", b"message=", b"base64=1", b"encoding=json", b"compression=gzip", b"connect=v1",
    b"QUI", b"QUI=", b"-_", b"\xff",
)  # fmt: skip
_HEAD: Final = http1.parse_head(
    b"POST /a.B/C HTTP/1.1\r\nhost: h\r\ncontent-type: application/connect+json\r\nconnect-content-encoding: gzip\r\n"
    b"content-encoding: gzip\r\naccept-encoding: gzip"
)


class _Same:
    """A codec that changes nothing."""

    def check(self) -> None:
        pass

    def request(self, message: bytes) -> bytes:
        hold(len(message) <= _MAX_MESSAGE_BYTES, "a message over the limit")
        return message

    def response(self, message: bytes) -> bytes:
        hold(len(message) <= _MAX_MESSAGE_BYTES, "a message over the limit")
        return message


def _terms() -> Any:
    return _connect.ConnectTerms(_MAX_MESSAGE_BYTES, _MAX_MESSAGE_BYTES, lambda detail: None)


def _queries(random: Random) -> list[bytes]:
    queries = []
    for _ in range(128):
        message = binascii.b2a_base64(random.randbytes(random.randrange(20)), newline=False)
        fields = [b"message=" + message.replace(b"+", b"-").replace(b"/", b"_"), b"base64=1", b"encoding=proto"]
        queries.append(b"&".join(random.sample(fields, random.randrange(len(fields) + 1))))
    return queries


def _check_query(data: bytes, _at: int) -> None:
    query = _media.parse_connect_query(data)
    try:
        message = query.message()
    except _dialect.RequestError:
        pass
    else:
        hold(len(message) <= len(data), "a message that is longer than its query")
    _media.parse_connect_media(data)
    text = binascii.b2a_base64(data, newline=False).replace(b"+", b"-").replace(b"/", b"_")
    equal(_media.parse_connect_query(b"base64=1&message=" + text).message(), data, "a message in a query")


def _messages(random: Random) -> list[bytes]:
    bodies = []
    for _ in range(128):
        frames = []
        for _ in range(random.randrange(4)):
            message = random.choice([b"", b"{}", bytes(30), bytes(2000), random.randbytes(200)])
            gzip = random.random() < 0.4
            frames.append(_framing.message_frame(_compression.compress(message) if gzip else message, compressed=gzip))
        bodies.append(b"".join(frames))
    return bodies


def _fed(call: Any, pieces: Sequence[bytes], *, response: bool) -> bytes | None:
    """What became of a body; None where it was refused. Why depends on the pieces where several things are wrong."""
    feed = call.response if response else call.request
    try:
        parts = [feed(piece) for piece in pieces]
        ending = call.finish(_OK, (), started=True).body if response else call.request_end()
        return b"".join([*parts, ending])
    except (_dialect.RequestError, _dialect.ResponseError):
        return None


def _new_stream() -> Any:
    media = _media.ConnectMedia(b"json", True)
    scanner = _framing.MessageScanner(max_message_bytes=_MAX_MESSAGE_BYTES)
    call = _stream.ConnectTranslatedStream(_HEAD, media, _Same(), _terms(), scanner=scanner)
    call.open()
    call.begin(((b"grpc-encoding", b"gzip"),))
    return call


def _new_unary() -> Any:
    call = _unary.ConnectUnary(_HEAD, _media.ConnectMedia(b"json", False), _Same(), _terms())
    call.open()
    call.begin(((b"grpc-encoding", b"gzip"),))
    return call


def _check_calls(data: bytes, at: int) -> None:
    for new in (_new_stream, _new_unary):
        for response in (False, True):
            whole = _fed(new(), [data], response=response)
            equal(_fed(new(), cut(data, at), response=response), whole, f"{new.__name__} in pieces")


def _statuses(random: Random) -> list[bytes]:
    details = [
        b"CAUSBm5vdCBvaxo6CixmYWtlLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxIKCgRSRUFEEgJuZQ==",
        b"",
        b"GgQKAmEv",
        b"CAI",
    ]
    codes = [b"0", b"5", b"99", b"-1", b"x", b""]
    return [b"\n".join([random.choice(codes), b"a%20b", random.choice(details)]) for _ in range(64)]


def _check_error(data: bytes, _at: int) -> None:
    code, message, details = (*data.split(b"\n", 2), b"", b"")[:3]
    pairs = ((b"grpc-status", code), (b"grpc-message", message), (b"grpc-status-details-bin", details))
    outcome = GrpcStatus(code, pairs)
    written = json.loads(_errors.to_json(_errors.error_object(outcome, lambda detail: None)))
    hold(written["code"].islower(), "a code that is none")
    hold(status.to_http(outcome.error_code) >= 400, "an error that is none")
    hold(all(set(detail) == {"type", "value"} for detail in written.get("details", [])), "a detail without its type")


TARGETS: Final[Sequence[Target]] = (
    (
        Target(
            "connect.query",
            "refused, or a message no longer than its query; what was written is read again",
            _queries,
            _QUERY_TOKENS,
            _check_query,
        ),
        Target(
            "connect.calls",
            "the same messages or refusal however it is cut; never more than the limit, compressed or not",
            _messages,
            (b"\0\0\0\0\0", b"\x01\0\0\0\x01a", b"\0\xff\xff\xff\xff", b"\x1f\x8b\x08", b"\x02\0\0\0\x02{}"),
            _check_calls,
        ),
        Target(
            "connect.error",
            "any status is JSON with a code, whatever its details are",
            _statuses,
            (b"\n", b"GgQ", b"=", b"==", b"%", b"13"),
            _check_error,
        ),
    )
    if _unary
    else ()
)
