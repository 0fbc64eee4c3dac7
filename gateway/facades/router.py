"""Which facade a request wants: paths without a dot."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from troupe.api.orchestrator.v1 import orchestrator_service_pb2 as pb
from troupe.gateway.facades import docs_page, endpoints, handshake, openapi, requests
from troupe.gateway.facades.event_stream import EventStream
from troupe.gateway.facades.failure import JSON_HEADERS, Failure
from troupe.gateway.facades.opening import Facade
from troupe.gateway.facades.websocket import SocketLimits, TaskSocket
from troupe.gateway.pages import Page
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown
from troupe.gateway.wire.status import Code

_NO_CACHE: Final = (b"cache-control", b"no-cache")


class Facades:
    """Finds the facade for a request's head."""

    def __init__(self, *, max_body_bytes: int, max_response_bytes: int, idle_seconds: float) -> None:
        """`idle_seconds`: how often a stream on which nothing happens gives a sign of life."""
        self._max_body_bytes = max_body_bytes
        self._max_response_bytes = max_response_bytes
        self._idle_seconds = idle_seconds
        self._socket_limits = SocketLimits(max_response_bytes=max_response_bytes, ping_seconds=idle_seconds)
        document = openapi.document(max_body_bytes=max_body_bytes)
        self._pages: Mapping[bytes, Page] = {
            b"/openapi.json": Page(200, (JSON_HEADERS[0], _NO_CACHE, *JSON_HEADERS[2:]), openapi.encode(document)),
            b"/docs": docs_page.page(document),
        }
        self._of_tasks: Mapping[bytes, Callable[[RequestHead, bytes, bytes], Facade | Page]] = {
            b"stream": self._stream,
            b"metrics": partial(endpoints.metrics, max_response_bytes=max_response_bytes),
            b"ws": self._socket,
        }

    def of(self, head: RequestHead) -> Facade | Page | None:
        """What answers a request; None when its path is no facade's."""
        path, _, query = head.target.partition(b"?")
        try:
            if path in self._pages:
                return _with(head, b"GET, HEAD", self._pages[path])
            if path == b"/run-task":
                return _wrong_method(head, b"POST") or endpoints.run_task(
                    head, query, max_body_bytes=self._max_body_bytes, max_response_bytes=self._max_response_bytes
                )
            match path.split(b"/"):
                case [b"", kind, segment] if kind in self._of_tasks and segment:
                    return _wrong_method(head, b"GET") or self._of_tasks[kind](head, segment, query)
        except RequestError as error:
            return Failure.of_request(error).page(400)
        return None

    def _stream(self, head: RequestHead, segment: bytes, query: bytes) -> Facade:
        cursor = requests.cursor(head, query)
        request = _watch_request(segment, cursor)
        return EventStream(
            head,
            request,
            max_response_bytes=self._max_response_bytes,
            reconnects=cursor.reconnects,
            idle_seconds=self._idle_seconds,
        )

    def _socket(self, head: RequestHead, segment: bytes, query: bytes) -> Facade | Page:
        return handshake.refusal(head) or TaskSocket(
            head, _watch_request(segment, requests.cursor(head, query)), self._socket_limits
        )


def _watch_request(segment: bytes, cursor: requests.Cursor) -> pb.WatchTaskRequest:
    return pb.WatchTaskRequest(task_id=requests.task_id_of(segment), after_sequence=cursor.after_sequence)


def _with(head: RequestHead, methods: bytes, page: Page) -> Page:
    return _wrong_method(head, methods) or page


def _wrong_method(head: RequestHead, methods: bytes) -> Page | None:
    if head.method in methods.split(b", "):
        return None
    path = head.target.partition(b"?")[0].decode("latin-1")
    message = f"{shown(path)} is called with {methods.decode()}"
    return Failure(Code.UNIMPLEMENTED, message, "NOT_IMPLEMENTED").page(405, (b"allow", methods + b", OPTIONS"))
