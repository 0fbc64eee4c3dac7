"""Errors of the Connect protocol: statuses of gRPC as JSON.

https://connectrpc.com/docs/protocol/#error-codes
"""

import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from troupe.gateway.wire.json_text import compact_json
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.status import Code
from troupe.gateway.wire.status_details import StatusDetail

Describe = Callable[[StatusDetail], Any]
"""A detail as JSON for people who read it; None where its type is not known."""

_OTHER_SPELLINGS: Final[Mapping[Code, str]] = {Code.CANCELLED: "canceled"}


def error_object(outcome: GrpcStatus, describe: Describe) -> dict[str, Any]:
    """An error as Connect writes it."""
    code = outcome.error_code
    error: dict[str, Any] = {"code": _OTHER_SPELLINGS.get(code, code.name.lower())}
    if outcome.message:
        error["message"] = outcome.message
    if outcome.details:
        error["details"] = [_detail_object(detail, describe) for detail in outcome.details]
    return error


def to_json(value: Any) -> bytes:
    """JSON as a body."""
    return compact_json(value).encode("utf-8", "replace")


def _detail_object(detail: StatusDetail, describe: Describe) -> dict[str, Any]:
    value = binascii.b2a_base64(detail.value, newline=False).rstrip(b"=").decode()
    written: dict[str, Any] = {"type": detail.type_name, "value": value}
    debug = describe(detail)
    if debug is not None:
        written["debug"] = debug
    return written
