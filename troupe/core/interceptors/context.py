"""Gives every call a request id, puts the ids of its work into the log lines and logs how it ended."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from google.protobuf.message import Message

from troupe.core.ids import new_id
from troupe.core.interceptors.around import Context, Interceptor, Method, ids_of
from troupe.core.interceptors.outcome import outcome
from troupe.core.logs import bound, get_logger

REQUEST_ID_METADATA: Final = "x-request-id"
_MAX_REQUEST_ID: Final = 128


class ContextInterceptor(Interceptor):
    """Outside of everything that logs."""

    @asynccontextmanager
    async def around(self, method: Method, request: Message | None, context: Context) -> AsyncIterator[None]:
        """Binds the ids, echoes the request id and logs one line when the call has ended."""
        if method.quiet:
            yield
            return
        metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        request_id = str(metadata.get(REQUEST_ID_METADATA) or new_id())[:_MAX_REQUEST_ID]
        started = time.monotonic()
        with bound(request_id=request_id, method=method.path, **ids_of(request)):
            context.set_trailing_metadata(((REQUEST_ID_METADATA, request_id),))
            error: BaseException | None = None
            try:
                yield
            except BaseException as caught:
                error = caught
                raise
            finally:
                elapsed_ms = round((time.monotonic() - started) * 1000, 1)
                get_logger().info("call ended", status=outcome(context, error).name, elapsed_ms=elapsed_ms)
