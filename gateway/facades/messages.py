"""Calls of the task API as the facades make them: one request message, and answers that become JSON."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from gateway.facades.failure import JSON_HEADERS, Failure, compact_json
from gateway.wire.dialect import Ending, Opening, RequestError, ResponseError, ResponseHead
from gateway.wire.framing import HEADER, HEADER_BYTES, message_frame
from gateway.wire.hpack_blocks import Headers
from gateway.wire.metadata import GrpcStatus
from gateway.wire.request import RequestHead
from gateway.wire.status import Code
from gateway.wire.timeout import parse_grpc_timeout
from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["OrchestratorService"].full_name
MessageT = TypeVar("MessageT", bound=Message)
_MAX_RESPONSE_BYTES: Final = 64 << 20
_OWN: Final[Headers] = (
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity"),
)


def method_path(name: str) -> bytes:
    """The path of a method of the task API."""
    return f"/{_SERVICE}/{name}".encode()


class MessageReader:
    """Cuts a gRPC body into its messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now.

        Raises:
            ResponseError: one is compressed, or too long.
        """
        data = self._buffer + data
        messages, position = [], 0
        while len(data) - position >= HEADER_BYTES:
            flags, length = HEADER.unpack_from(data, position)
            if flags:
                raise ResponseError(f"the backend sent a message with the flags {flags:#04x}, which nobody asked for")
            if length > _MAX_RESPONSE_BYTES:
                raise ResponseError(f"the backend sent a message of {length} bytes", Code.RESOURCE_EXHAUSTED)
            end = position + HEADER_BYTES + length
            if end > len(data):
                break
            messages.append(data[position + HEADER_BYTES : end])
            position = end
        self._buffer = data[position:]
        return messages


def open_call(head: RequestHead, default_timeout_seconds: float | None = None) -> Opening:
    """What a facade's call asks of the backend; a client may set its deadline by `grpc-timeout`."""
    timeout = head.get(b"grpc-timeout")
    if timeout:
        return Opening((*_OWN, (b"grpc-timeout", timeout)), parse_grpc_timeout(timeout))
    return Opening(_OWN, default_timeout_seconds)


def to_fields(message: Message) -> dict[str, Any]:
    """A message as protobuf JSON, under the names of the contract.

    Raises:
        ResponseError: it holds what JSON has not, such as NaN in a `Struct`.
    """
    try:
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    except json_format.Error as error:
        raise ResponseError(f"the backend's answer cannot be written as JSON ({error})") from None


class JsonCall:
    """A unary call that is answered with JSON."""

    name: ClassVar[str] = "http-json"

    def __init__(
        self,
        head: RequestHead,
        *,
        request: Callable[[bytes], Message],
        response: type[Message],
        answer: Callable[[Any], object],
        max_body_bytes: int = 0,
        default_timeout_seconds: float | None = None,
    ) -> None:
        """`request` reads the body, `answer` turns the response into JSON. With no room for it, a body is ignored."""
        self._default_timeout_seconds = default_timeout_seconds
        self._head = head
        self._request = request
        self._response = response
        self._answer = answer
        self._max_body_bytes = max_body_bytes
        self._body = bytearray()
        self._reader = MessageReader()
        self._json = b""

    def open(self) -> Opening:
        """See `Dialect`."""
        if self._max_body_bytes and self._head.get(b"content-encoding") not in {b"", b"identity"}:
            encoding = self._head.get(b"content-encoding").decode("latin-1")
            raise RequestError(f"the body has the `content-encoding` {encoding!r}; send it as it is")
        return open_call(self._head, self._default_timeout_seconds)

    def request(self, data: bytes) -> bytes:
        """See `Dialect`."""
        if self._max_body_bytes:
            self._body += data
        if len(self._body) > self._max_body_bytes:
            raise RequestError(
                f"the body has more than {self._max_body_bytes} bytes; send a shorter one", Code.RESOURCE_EXHAUSTED
            )
        return b""

    def request_end(self) -> bytes:
        """See `Dialect`."""
        return message_frame(self._request(bytes(self._body)).SerializeToString())

    def begin(self, metadata: Headers) -> ResponseHead | None:
        """See `Dialect`."""
        return None

    def response(self, data: bytes) -> bytes:
        """See `Dialect`."""
        for message in self._reader.feed(data):
            self._json = compact_json(self._answer(decode(self._response, message))).encode() + b"\n"
        return b""

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        """See `Dialect`."""
        failure = Failure.of(outcome)
        if failure is None and not self._json:
            failure = Failure(Code.INTERNAL, "the backend ended the call without an answer")
        if failure is None:
            return Ending(ResponseHead(200, JSON_HEADERS), self._json)
        return Ending(ResponseHead(failure.http_status, JSON_HEADERS), failure.json().encode() + b"\n")


def decode(kind: type[MessageT], data: bytes) -> MessageT:
    """A message of the backend.

    Raises:
        ResponseError: it is none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ResponseError(f"the backend sent what is no {kind.__name__} ({error})") from None
