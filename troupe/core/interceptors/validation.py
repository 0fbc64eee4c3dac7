"""Checks requests against the rules of the contracts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.message import Message

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.interceptors.around import Context, Interceptor, Method
from troupe.core.validation import check_rules


class ValidationInterceptor(Interceptor):
    """Refuses requests that break a rule, all broken rules at once, and those that are too large."""

    def __init__(self, *, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes

    @asynccontextmanager
    async def around(self, method: Method, request: Message | None, context: Context) -> AsyncIterator[None]:
        """Raises INVALID_REQUEST or MESSAGE_TOO_LARGE before the handler runs."""
        if isinstance(
            request, Message
        ):  # not where clients stream, nor the bytes of forwarded methods: their server checks
            self.check(request)
        yield

    def check(self, request: Message) -> None:
        """Raises when the request breaks a rule."""
        if (size := request.ByteSize()) > self._max_message_bytes:
            raise TroupeError(
                ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE,
                f"the request has {size} bytes, more than the {self._max_message_bytes} that this server takes;"
                " send less, or raise the server's `max_message_bytes`",
            )
        check_rules(request)
