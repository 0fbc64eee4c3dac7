"""Checks requests against the rules of the contracts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from google.protobuf.message import Message

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.interceptors.around import Context, Interceptor, Method
from troupe.core.validation import check_rules

Precheck = Callable[[Message], None]


def no_precheck(_: Message) -> None:
    """Refuses nothing."""


class ValidationInterceptor(Interceptor):
    """Refuses requests that break a rule, all broken rules at once, and those that are too large."""

    def __init__(self, *, max_message_bytes: int, precheck: Precheck = no_precheck) -> None:
        """`precheck` refuses what would take long to check; it raises `TroupeError`."""
        self._max_message_bytes = max_message_bytes
        self._precheck = precheck

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
        self._precheck(request)
        check_rules(request)
