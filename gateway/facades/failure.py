"""Errors as JSON: `{"error": {"code", "message", "reason"}}`, and the HTTP status that goes with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from troupe.gateway.pages import Page
from troupe.gateway.wire import status
from troupe.gateway.wire.dialect import Ending, RequestError, ResponseHead
from troupe.gateway.wire.hpack_blocks import Headers
from troupe.gateway.wire.json_text import compact_json
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.status import Code

JSON_HEADERS: Final[Headers] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
DRAINING: Final = "SERVER_DRAINING"
_TOO_LARGE: Final = "MESSAGE_TOO_LARGE"

HTTP_STATUSES: Final = tuple(sorted({413, *[status.to_http(code) for code in Code if code is not Code.OK]}))


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
        info, bad = _details(outcome)
        return cls(
            code=outcome.error_code,
            message=outcome.message,
            reason=info.reason,
            metadata=dict(info.metadata),
            violations=tuple(
                [{"field": found.field, "description": found.description} for found in bad.field_violations]
            ),
        )

    @classmethod
    def of_request(cls, error: RequestError) -> "Failure":
        """What is wrong with a request that is no call."""
        violations = tuple([{"field": name, "description": problem} for name, problem in error.violations])
        return cls(error.code, str(error), "INVALID_REQUEST", violations=violations)

    @property
    def http_status(self) -> int:
        """The HTTP status for the code."""
        return 413 if self.reason == _TOO_LARGE else status.to_http(self.code)

    @property
    def of_client(self) -> bool:
        """Whether the same request would fail again."""
        return self.http_status < 500 and self.code not in (Code.RESOURCE_EXHAUSTED, Code.CANCELLED)

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

    def answer(self) -> dict[str, Any]:
        """The error as an answer."""
        return {"error": self.fields()}

    def json(self) -> str:
        """The answer in one line."""
        return compact_json(self.answer())

    def ending(self) -> Ending:
        """The response of a call that failed before its response began."""
        return Ending(ResponseHead(self.http_status, JSON_HEADERS), self.json().encode() + b"\n")

    def page(self, http_status: int, *headers: tuple[bytes, bytes]) -> Page:
        """A response of its own."""
        return Page(http_status, (*JSON_HEADERS, *headers), self.json().encode() + b"\n")


def _details(outcome: GrpcStatus) -> tuple[ErrorInfo, BadRequest]:
    found = {detail.type_name: detail.value for detail in outcome.details}
    try:
        info = ErrorInfo.FromString(found.get(ErrorInfo.DESCRIPTOR.full_name, b""))
        return info, BadRequest.FromString(found.get(BadRequest.DESCRIPTOR.full_name, b""))
    except DecodeError:  # what the status says besides still stands
        return ErrorInfo(), BadRequest()
