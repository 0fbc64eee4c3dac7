"""Gives every call a request id, puts the ids of its work into the log lines and logs how it ended."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import Message

from troupe.core.ids import new_id
from troupe.core.interceptors.around import AroundInterceptor, Context
from troupe.core.logs import bound, get_logger

REQUEST_ID_METADATA: Final = "x-request-id"
_MAX_REQUEST_ID: Final = 128
_IDS: Final = ("task_id", "step_id", "agent", "attempt")
# Asked every few seconds, or by people who look around.
_QUIET: Final = ("/grpc.health.v1.", "/grpc.reflection.", "/troupe.api.agent.v1.AgentService/Describe")


class ContextInterceptor(AroundInterceptor):
    """The outermost interceptor."""

    @asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Binds the ids, echoes the request id and logs one line when the call has ended."""
        if method.startswith(_QUIET):
            yield
            return
        metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        request_id = str(metadata.get(REQUEST_ID_METADATA) or new_id())[:_MAX_REQUEST_ID]
        started = time.monotonic()
        with bound(request_id=request_id, method=method, **_ids(request)):
            context.set_trailing_metadata(((REQUEST_ID_METADATA, request_id),))
            status = grpc.StatusCode.CANCELLED.name
            try:
                yield
                status = grpc.StatusCode.OK.name
            except grpc.aio.AbortError:
                status = _status(context)
                raise
            finally:
                elapsed_ms = round((time.monotonic() - started) * 1000, 1)
                get_logger().info("call ended", status=status, elapsed_ms=elapsed_ms)


def _ids(request: Message) -> Mapping[str, str | int]:
    return {name: value for name in _IDS if (value := getattr(request, name, None))}


def _status(context: Context) -> str:
    code = context.code()
    for status in grpc.StatusCode:
        if code in (status, status.value[0]):
            return status.name
    return grpc.StatusCode.UNKNOWN.name
