"""Checks requests against the rules of the contracts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import protovalidate
from google.protobuf.message import Message

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.interceptors.around import Context, Interceptor, Method


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
        if violations := protovalidate.collect_violations(request):
            fields = [FieldViolation(_path(v.proto.field), _describe(v)) for v in violations]
            message = "; ".join(f"`{f.field}` {f.description}" if f.field else f.description for f in fields)
            raise TroupeError(ErrorReason.ERROR_REASON_INVALID_REQUEST, message, violations=fields)


def _path(field: Any) -> str:
    """The path of a protovalidate field, such as `task.plan.steps[2].agent`."""
    parts: list[str] = []
    for element in field.elements if field is not None else ():
        subscript = element.subscript
        parts.append("." + element.field_name)
        if subscript is not None:
            parts.append(f"[{subscript.value!r}]")
    return "".join(parts).removeprefix(".")


def _describe(violation: protovalidate.Violation) -> str:
    problem = violation.proto.message or f"breaks the rule `{violation.proto.rule_id}`"
    value = violation.field_value
    shown = f", not {value!r}" if isinstance(value, str | int | float | bool) and len(str(value)) <= 100 else ""
    return problem.removesuffix(".") + shown
