"""What clients and backends send stands in messages as they wrote it, and never as this server's language has it."""

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.dialects import Dialects
from troupe.gateway.json_terms import in_json_terms
from troupe.gateway.methods import Method, Methods
from troupe.gateway.pages import unknown_media
from troupe.gateway.transcoding import JsonCodec
from troupe.gateway.wire import http1
from troupe.gateway.wire.connect_media import parse_connect_media
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.http1 import BadRequestError
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown

PYTHON = re.compile(r"\bb['\"]|\bNone\b|NoneType|\bdict\b|\bTrue\b|<class|object has no|unhashable|bytes-like|\bint\(")
SERVICE = b"/troupe.api.orchestrator.v1.OrchestratorService/"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"abc", "'abc'"),
        (b"\xc3\xa9", "'\u00e9'"),
        (b"\xe9", "'\u00e9'"),
        (b"\x00\x1b[2J", r"'\x00\x1b[2J'"),
        (bytearray(b"x"), "'x'"),
        (b"", "''"),
        ("it's", '"it\'s"'),
        ("\u202e\ud800", r"'\u202e\ud800'"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ({"a": None}, "an object"),
        ([None], "a list"),
        ("x" * 100, "'" + "x" * 79 + "…"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert shown(value) == text


def head(**fields: str) -> RequestHead:
    pairs = tuple([(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items()])
    return RequestHead(b"POST", SERVICE + b"GetTask", pairs, dict(pairs), http2=True)


DIALECTS = Dialects(Methods.load(), max_message_bytes=1 << 20, max_response_bytes=1 << 20)


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "application/grpc-web+proto", "grpc_timeout": "soon\xff"},
        {"content_type": "application/grpc-web+proto", "grpc_encoding": "br"},
        {"content_type": "application/grpc", "grpc_encoding": "x\x7f"},
        {"content_type": "application/json", "connect_protocol_version": "2"},
        {"content_type": "application/json", "content_encoding": "zstd"},
        {"content_type": "application/json", "connect_timeout_ms": "1s"},
    ],
)
def test_headers_that_cannot_be_read(fields: dict[str, str]) -> None:
    asked = DIALECTS.of(head(**fields))
    assert asked is not None
    with pytest.raises(RequestError) as caught:
        asked.dialect.open()
    *_, value = fields.values()
    assert shown(value.encode("latin-1")) in str(caught.value)
    assert not PYTHON.search(str(caught.value))


@pytest.mark.parametrize(
    "lines",
    [b"x\xff: y", b"content-length: five", b"transfer-encoding: gzip", b"content-length: \xc3\xa9"],
)
def test_heads_that_cannot_be_read(lines: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        http1.parse_head(b"POST / HTTP/1.1\r\nhost: a\r\n" + lines)
    assert not PYTHON.search(str(caught.value))


BODIES = [
    '{"%s": null}', '{"%s": 1}', '{"%s": 1.5}', '{"%s": "x"}', '{"%s": []}', '{"%s": {}}', '{"%s": true}',
    '{"%s": [null]}', '{"%s": {"a": null}}', '{"%s": {"a": {"b": []}}}', '{"%s": NaN}', '{"%s": 1e99}',
    '{"%s": "None"}', '{"%s": [[1]]}',
]  # fmt: skip


def lenient(method: Method) -> Method:
    """The method as one of another service, which is read as protobuf's own parser does."""
    return replace(method, path=b"/other.Service/Method")


def problems(codec: JsonCodec, fields: list[str]) -> list[str]:
    """What is said of bodies of the wrong types, without what the client wrote itself."""
    found: list[str] = []
    for body in [(body % name).encode() for body in BODIES for name in fields]:
        try:
            codec.request(body)
        except RequestError as error:
            found.append(str(error).replace('"None"', "").replace("'None'", ""))
    return found


@pytest.mark.parametrize("kind", [pb.SubmitTaskRequest, pb.ListTasksRequest, pb.CancelTaskRequest, pb.WatchTaskRequest])
@pytest.mark.parametrize("as_foreign", [False, True])
def test_json_of_the_wrong_types(kind: type[pb.SubmitTaskRequest], as_foreign: bool) -> None:
    own = Methods.load().find(SERVICE + kind.DESCRIPTOR.name.removesuffix("Request").encode())
    assert own is not None
    codec = JsonCodec(own.path, lenient(own) if as_foreign else own)
    found = problems(codec, [field.json_name for field in kind.DESCRIPTOR.fields])
    assert found
    assert [problem for problem in found if PYTHON.search(problem)] == []


@pytest.mark.parametrize(
    ("problem", "explained"),
    [
        ("expected string or bytes-like object, got 'NoneType'", "a string is expected, not null"),
        ("'int' object has no attribute 'split'", "a string is expected, not a number"),
        ("unhashable type: 'dict'", "a string or a number is expected, not an object"),
        (
            "int() argument must be a string, a bytes-like object or a real number, not 'list'",
            "a number is expected, not a list",
        ),
        ("invalid literal for int() with base 10: 'x'", "a whole number is expected, not 'x'"),
        ("Map field labels must be in a dict which is [None] at A.b", "an object in braces is expected at A.b"),
        ("repeated field a must be in [] which is None", "a list in brackets is expected"),
        ("argument should be a bytes-like object or ASCII string, not 'int'", "a string is expected, not a number"),
        ("Value None has unexpected type <class 'NoneType'>", "Value None has unexpected type null"),
    ],
)
def test_terms(problem: str, explained: str) -> None:
    assert in_json_terms(problem) == explained


@pytest.mark.parametrize("strip", [bytes, bytes.lstrip])
@pytest.mark.parametrize("as_foreign", [False, True])
def test_a_byte_order_mark_before_json(strip: Callable[[bytes], bytes], as_foreign: bool) -> None:
    own = Methods.load().find(SERVICE + b"GetTask")
    assert own is not None
    body = strip(codecs.BOM_UTF8 + b' {"taskId": "a"}')
    assert JsonCodec(own.path, lenient(own) if as_foreign else own).request(body) == b"\n\x01a"
    with pytest.raises(RequestError):
        JsonCodec(own.path, own).request(codecs.BOM_UTF16_LE + json.dumps({}).encode("utf-16-le"))


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json; charset=iso-8859-1",
        b'application/json;charset="windows-1252"',
        b"application/connect+json; Charset=UTF-16LE",
        b"application/json; charset=latin1; x=y",
        b"application/proto ; charset = shift_jis",
    ],
)
def test_a_charset_that_is_not_taken_is_named(content_type: bytes) -> None:
    assert parse_connect_media(content_type) is None
    page = unknown_media(content_type)
    charset = content_type.lower().partition(b"charset")[2].strip(b' =";').partition(b";")[0].strip(b'"')
    assert page.status == 415
    assert f"The charset '{charset.decode()}'" in page.body.decode().replace("UTF-16LE", "utf-16le")


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"application/json;", b"application/json; charset=utf8", b'Application/JSON;charset="UTF-8"'],
)
def test_charsets_that_are_taken(content_type: bytes) -> None:
    assert parse_connect_media(content_type) is not None


@pytest.mark.parametrize(
    "content_type",
    [
        "application/grpc-web+json",
        "application/grpc-web-text+json",
        "application/grpc-web+thrift",
        "application/grpc+json",
        "Application/GRPC-Web+JSON; charset=utf-8",
    ],
)
def test_messages_that_are_no_protobuf_are_refused_as_a_media_type(content_type: str) -> None:
    assert DIALECTS.of(head(content_type=content_type)) is None
    assert f"The `content-type` '{content_type}'" in unknown_media(content_type.encode()).body.decode()


@pytest.mark.parametrize(
    "content_type", ["application/grpc-web", "application/grpc-web-text+PROTO", "application/grpc;x"]
)
def test_messages_that_are_protobuf(content_type: str) -> None:
    assert DIALECTS.of(head(content_type=content_type)) is not None
