"""Calls of the task API as the facades make them: one request message, and answers that become JSON."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.facades.failure import JSON_HEADERS, Failure
from troupe.gateway.json_terms import written
from troupe.gateway.wire.connect import response_too_large
from troupe.gateway.wire.dialect import Ending, Opening, RequestError, ResponseError, ResponseHead
from troupe.gateway.wire.framing import MessageCutter, MessageLimitError, message_frame
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.json_text import compact_json
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.timeout import parse_grpc_timeout

MessageT = TypeVar("MessageT", bound=Message)

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["OrchestratorService"].full_name
_OWN: Final[Headers] = (
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity"),
)


def method_path(name: str) -> bytes:
    """The path of a method of the task API."""
    return f"/{_SERVICE}/{name}".encode()


def to_fields(message: Message) -> dict[str, Any]:
    """A message as protobuf JSON, under the names of the contract.

    Raises:
        ResponseError: it holds what JSON has not.
    """
    name = message.DESCRIPTOR.full_name
    return written(lambda: json_format.MessageToDict(message, preserving_proto_field_name=True), name)


class MessageReader(Generic[MessageT]):
    """Reads the messages of a kind out of a gRPC body."""

    def __init__(self, kind: type[MessageT], *, max_response_bytes: int) -> None:
        self._kind = kind
        self._cutter = MessageCutter(max_message_bytes=max_response_bytes)

    def feed(self, data: bytes) -> list[MessageT]:
        """The messages that are whole with the next bytes.

        Raises:
            ResponseError: one is compressed, too long, or of another kind.
        """
        try:
            return [self._read(flags, message) for flags, message in self._cutter.feed(data)]
        except MessageLimitError as error:
            raise response_too_large(f"a message of the backend has {error}") from None

    def _read(self, flags: int, message: bytes) -> MessageT:
        if flags:
            raise ResponseError(f"the backend sent a message with the flags {flags:#04x}, which nobody asked for")
        try:
            return self._kind.FromString(message)
        except DecodeError as error:
            raise ResponseError(f"the backend sent what is no {self._kind.DESCRIPTOR.full_name} ({error})") from None


class TaskCall(ABC):
    """The dialect of a call with one request message; a client may set its deadline by `grpc-timeout`."""

    name: ClassVar[str]

    def __init__(self, head: RequestHead, *, default_timeout_seconds: float | None = None) -> None:
        self._head = head
        self._default_timeout_seconds = default_timeout_seconds

    def open(self) -> Opening:
        timeout = self._head.get(b"grpc-timeout")
        if timeout:
            return Opening((*_OWN, (b"grpc-timeout", timeout)), parse_grpc_timeout(timeout))
        return Opening(_OWN, self._default_timeout_seconds)

    def request(self, data: bytes) -> bytes:
        """See `Dialect`: most of these requests are in the path, and a body means nothing."""
        return b""

    def request_end(self) -> bytes:
        return message_frame(self._message().SerializeToString())

    def begin(self, metadata: Headers) -> ResponseHead | None:
        return None

    @abstractmethod
    def response(self, data: bytes) -> bytes:
        """What the client gets of the next bytes of the backend's messages."""

    @abstractmethod
    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        """What the client gets when the call has ended."""

    @abstractmethod
    def _message(self) -> Message:
        """The request, when all of the client's has come.

        Raises:
            RequestError: the client's is not what it should be.
        """


class JsonCall(TaskCall):
    """A unary call that is answered with JSON."""

    name: ClassVar[str] = "http-json"

    def __init__(
        self,
        head: RequestHead,
        *,
        request: Callable[[bytes], Message],
        response: type[Message],
        answer: Callable[[Any], object],
        max_response_bytes: int,
        failed: Callable[[Failure], object] = Failure.answer,
        max_body_bytes: int = 0,
        default_timeout_seconds: float | None = None,
    ) -> None:
        """`request` reads the body, `answer` and `failed` turn what comes of it into values for JSON.

        With no room for it, a body is ignored.
        """
        super().__init__(head, default_timeout_seconds=default_timeout_seconds)
        self._request = request
        self._answer = answer
        self._failed = failed
        self._max_body_bytes = max_body_bytes
        self._body = bytearray()
        self._reader = MessageReader(response, max_response_bytes=max_response_bytes)
        self._json = b""

    def open(self) -> Opening:
        if self._max_body_bytes and self._head.get(b"content-encoding") not in {b"", b"identity"}:
            encoding = shown(self._head.get(b"content-encoding"))
            raise RequestError(f"the body has the `content-encoding` {encoding}; send it as it is")
        return super().open()

    def request(self, data: bytes) -> bytes:
        if self._max_body_bytes:
            self._body += data
        if len(self._body) > self._max_body_bytes:
            raise RequestError(
                f"the body has more than {self._max_body_bytes} bytes; send a shorter one", Code.RESOURCE_EXHAUSTED
            )
        return b""

    def response(self, data: bytes) -> bytes:
        for message in self._reader.feed(data):
            self._json = _line(self._answer(message))
        return b""

    def finish(self, outcome: GrpcStatus, trailers: Headers, *, started: bool) -> Ending:
        failure = Failure.of(outcome)
        if failure is None and not self._json:
            failure = Failure(Code.INTERNAL, "the backend ended the call without an answer")
        if failure is None:
            return Ending(ResponseHead(200, JSON_HEADERS), self._json)
        return Ending(ResponseHead(failure.http_status, JSON_HEADERS), _line(self._failed(failure)))

    def _message(self) -> Message:
        return self._request(bytes(self._body))


def _line(value: object) -> bytes:
    return compact_json(value).encode() + b"\n"
