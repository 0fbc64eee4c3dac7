"""Errors of the Connect protocol: statuses of gRPC as JSON, and as statuses of HTTP.

https://connectrpc.com/docs/protocol/#error-codes
"""

import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.wire import percent
from gateway.wire.metadata import GrpcStatus
from gateway.wire.status import Code
from gateway.wire.status_details import StatusDetail, read_details

Describe = Callable[[StatusDetail], Any]
"""A detail as JSON for people who read it; None where its type is not known."""

_HTTP_STATUSES: Final[Mapping[Code, int]] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_OTHER_SPELLINGS: Final[Mapping[Code, str]] = {Code.CANCELLED: "canceled"}


def code_of(outcome: GrpcStatus) -> Code:
    """The code of a status that is not OK; what is no code is UNKNOWN."""
    try:
        return Code(int(outcome.code)) or Code.UNKNOWN
    except ValueError:
        return Code.UNKNOWN


def http_status(code: Code) -> int:
    """The HTTP status of a unary response."""
    return _HTTP_STATUSES[code]


def error_object(outcome: GrpcStatus, describe: Describe) -> dict[str, Any]:
    """An error as Connect writes it."""
    fields = dict(outcome.pairs)
    code = code_of(outcome)
    error: dict[str, Any] = {"code": _OTHER_SPELLINGS.get(code, code.name.lower())}
    if message := percent.decode(fields.get(b"grpc-message", b"")):
        error["message"] = message
    if details := read_details(fields.get(b"grpc-status-details-bin", b"")):
        error["details"] = [_detail_object(detail, describe) for detail in details]
    return error


def to_json(value: Any) -> bytes:
    """JSON without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _detail_object(detail: StatusDetail, describe: Describe) -> dict[str, Any]:
    value = binascii.b2a_base64(detail.value, newline=False).rstrip(b"=").decode()
    written: dict[str, Any] = {"type": detail.type_name, "value": value}
    debug = describe(detail)
    if debug is not None:
        written["debug"] = debug
    return written
