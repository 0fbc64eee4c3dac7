"""Errors as JSON: `{"error": {"code", "message", "reason"}}`, and the HTTP status that goes with them."""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gateway.pages import Page
from gateway.wire.hpack_blocks import Headers
from gateway.wire.metadata import GrpcStatus
from gateway.wire.status import Code

JSON_HEADERS: Final[Headers] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
DRAINING: Final = "SERVER_DRAINING"
_TOO_LARGE: Final = "MESSAGE_TOO_LARGE"

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_HTTP_STATUS: Final[Mapping[Code, int]] = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
HTTP_STATUSES: Final = tuple(sorted({*_HTTP_STATUS.values(), 413, 500}))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed, for people and programs that speak JSON."""

    code: Code
    message: str
    reason: str = ""
    metadata: Mapping[str, str] | None = None
    violations: tuple[Mapping[str, str], ...] = ()

    @classmethod
    def of(cls, outcome: GrpcStatus) -> "Failure | None":
        """What a call's status says; None when it is OK."""
        if outcome.code == b"0":
            return None
        fields = dict(outcome.pairs)
        info, bad = _details(fields.get(b"grpc-status-details-bin", b""))
        return cls(
            code=Code(int(outcome.code)) if outcome.code.isdigit() and int(outcome.code) in _CODES else Code.UNKNOWN,
            message=unquote(fields.get(b"grpc-message", b"").decode("latin-1")),
            reason=info.reason,
            metadata=dict(info.metadata),
            violations=tuple(
                [{"field": found.field, "description": found.description} for found in bad.field_violations]
            ),
        )

    @property
    def http_status(self) -> int:
        """The HTTP status for the code."""
        return 413 if self.reason == _TOO_LARGE else _HTTP_STATUS.get(self.code, 500)

    @property
    def of_client(self) -> bool:
        """Whether the same request would fail again."""
        return self.http_status < 500 and self.code is not Code.RESOURCE_EXHAUSTED

    def fields(self) -> dict[str, Any]:
        """What stands in `error`."""
        fields: dict[str, Any] = {"code": self.code.name, "message": self.message}
        if self.reason:
            fields["reason"] = self.reason
        if self.metadata:
            fields["metadata"] = dict(self.metadata)
        if self.violations:
            fields["violations"] = list(self.violations)
        return fields

    def json(self) -> str:
        """The error in one line."""
        return compact_json({"error": self.fields()})

    def page(self, status: int, *headers: tuple[bytes, bytes]) -> Page:
        """A response of its own."""
        return Page(status, (*JSON_HEADERS, *headers), self.json().encode() + b"\n")


_CODES: Final = frozenset(code.value for code in Code)


def compact_json(value: object) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _details(encoded: bytes) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    try:
        status = status_pb2.Status.FromString(binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4)))
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(bad)
    except (binascii.Error, DecodeError):
        pass  # what the status says besides still stands
    return info, bad
