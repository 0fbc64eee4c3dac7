"""Domain errors and the one table that maps them to gRPC.

Handlers raise `TroupeError`; the errors interceptor turns it into a `google.rpc.Status`, and clients turn
that back with `TroupeError.from_rpc`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from troupe.api.common.v1 import error_pb2
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.error_fitting import MAX_VIOLATIONS, RETRYABLE, SHORTENED, VIOLATIONS, fitted, sound

DOMAIN: Final = "troupe"
_PREFIX: Final = "ERROR_REASON_"
_UNKNOWN_REASON: Final = "UNSPECIFIED"
_MAX_DELAY: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """How a reason appears on the wire."""

    code: grpc.StatusCode
    retryable: bool = False


RULES: Final[Mapping["ErrorReason.ValueType", ErrorRule]] = {
    ErrorReason.ERROR_REASON_INVALID_REQUEST: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_INVALID_PLAN: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_UNKNOWN_AGENT: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_TASK_NOT_FOUND: ErrorRule(grpc.StatusCode.NOT_FOUND),
    ErrorReason.ERROR_REASON_STEP_NOT_FOUND: ErrorRule(grpc.StatusCode.NOT_FOUND),
    ErrorReason.ERROR_REASON_INVALID_TASK_STATE: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION),
    ErrorReason.ERROR_REASON_REQUEST_ID_REUSED: ErrorRule(grpc.StatusCode.ALREADY_EXISTS),
    ErrorReason.ERROR_REASON_CURSOR_OUT_OF_RANGE: ErrorRule(grpc.StatusCode.OUT_OF_RANGE),
    ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED),
    ErrorReason.ERROR_REASON_QUOTA_EXCEEDED: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, retryable=True),
    ErrorReason.ERROR_REASON_BUDGET_EXCEEDED: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED),
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_MEMORY_UNAVAILABLE: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_BACKEND_UNAVAILABLE: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_SERVER_DRAINING: ErrorRule(grpc.StatusCode.UNAVAILABLE, retryable=True),
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: ErrorRule(grpc.StatusCode.DEADLINE_EXCEEDED, retryable=True),
    ErrorReason.ERROR_REASON_CANCELLED: ErrorRule(grpc.StatusCode.CANCELLED),
    ErrorReason.ERROR_REASON_MODEL_NOT_FOUND: ErrorRule(grpc.StatusCode.NOT_FOUND),
    ErrorReason.ERROR_REASON_MODEL_REFUSED: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION),
    ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND: ErrorRule(grpc.StatusCode.NOT_FOUND),
    ErrorReason.ERROR_REASON_UNREADABLE_DOCUMENT: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_DOCUMENT_TOO_LARGE: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT),
    ErrorReason.ERROR_REASON_AGENT_FAILED: ErrorRule(grpc.StatusCode.INTERNAL, retryable=True),
    ErrorReason.ERROR_REASON_DEPENDENCY_FAILED: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION),
    ErrorReason.ERROR_REASON_LEASE_EXPIRED: ErrorRule(grpc.StatusCode.ABORTED, retryable=True),
    ErrorReason.ERROR_REASON_APPROVAL_REJECTED: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION),
    ErrorReason.ERROR_REASON_NOT_IMPLEMENTED: ErrorRule(grpc.StatusCode.UNIMPLEMENTED),
    ErrorReason.ERROR_REASON_INTERNAL: ErrorRule(grpc.StatusCode.INTERNAL),
}

# What a status without our details most likely means: it comes from gRPC itself or from a server that is
# not ours.
_REASON_OF_CODE: Final[Mapping[grpc.StatusCode, "ErrorReason.ValueType"]] = {
    grpc.StatusCode.CANCELLED: ErrorReason.ERROR_REASON_CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
    grpc.StatusCode.INVALID_ARGUMENT: ErrorReason.ERROR_REASON_INVALID_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: ErrorReason.ERROR_REASON_NOT_IMPLEMENTED,
    grpc.StatusCode.INTERNAL: ErrorReason.ERROR_REASON_INTERNAL,
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of a request that breaks a rule; `field` is its path, such as `task.plan.steps[2].agent`."""

    field: str
    description: str


@dataclass(eq=False)
class TroupeError(Exception):
    """An error with a reason that clients can act on.

    Its gRPC code and whether it can be retried follow from the reason unless given.
    """

    reason: "ErrorReason.ValueType"
    message: str
    violations: Sequence[FieldViolation] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_delay: timedelta | None = None
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    retryable: bool | None = None

    def __post_init__(self) -> None:
        self.message = sound(self.message)
        self.metadata = {sound(key): sound(value) for key, value in self.metadata.items()}
        super().__init__(self.message)
        rule = RULES.get(self.reason, ErrorRule(grpc.StatusCode.UNKNOWN))
        if self.code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK):
            self.code = rule.code
        if self.retryable is None:
            self.retryable = rule.retryable

    def __str__(self) -> str:
        return self.message

    @property
    def reason_name(self) -> str:
        """The reason as `ErrorInfo` carries it, such as `TASK_NOT_FOUND`."""
        known = self.reason in ErrorReason.values()  # a newer server may have others
        return ErrorReason.Name(self.reason).removeprefix(_PREFIX) if known else _UNKNOWN_REASON

    def to_status(self) -> status_pb2.Status:
        """The error as gRPC carries it: ErrorInfo always, BadRequest, RetryInfo and QuotaFailure where they apply.

        It fits into the trailers of every client, see `fitted`.
        """
        status = status_pb2.Status(code=_number(self.code), message=self.message)
        metadata = {**self.metadata, RETRYABLE: "true" if self.retryable else "false"}
        if len(self.violations) > MAX_VIOLATIONS:
            metadata = {VIOLATIONS: str(len(self.violations)), **metadata, SHORTENED: "true"}
        info = error_details_pb2.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=metadata)
        status.details.add().Pack(info)
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for violation in self.violations[:MAX_VIOLATIONS]:
                bad.field_violations.add(field=sound(violation.field), description=sound(violation.description))
            status.details.add().Pack(bad)
        if self.retry_delay is not None:
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=_duration(self.retry_delay)))
        if self.reason == ErrorReason.ERROR_REASON_QUOTA_EXCEEDED:
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=self.metadata.get("subject", ""), description=self.message)
            status.details.add().Pack(quota)
        return fitted(status)

    def to_proto(self) -> error_pb2.Error:
        """The error as events and task records keep it."""
        error = error_pb2.Error(
            code=code_pb2.Code.ValueType(_number(self.code)),
            reason=self.reason,
            message=self.message,
            retryable=bool(self.retryable),
            metadata=dict(self.metadata),
        )
        if self.retry_delay is not None:
            error.retry_delay.CopyFrom(_duration(self.retry_delay))
        return error

    @classmethod
    def from_proto(cls, error: error_pb2.Error) -> "TroupeError":
        """The error that an event or a record tells of."""
        delay = error.retry_delay.ToTimedelta() if error.HasField("retry_delay") else None
        codes = {number: code for code in grpc.StatusCode for number in [_number(code)]}
        return cls(
            error.reason,
            error.message,
            metadata=dict(error.metadata),
            retry_delay=delay,
            code=codes.get(error.code, grpc.StatusCode.UNKNOWN),
            retryable=error.retryable,
        )

    @classmethod
    def from_rpc(
        cls, error: grpc.aio.AioRpcError, *, unavailable: "ErrorReason.ValueType | None" = None
    ) -> "TroupeError":
        """Reads the error that a call ended with.

        `unavailable` is the reason for a server that could not be reached at all.
        """
        code, message = error.code(), error.details() or ""
        reason = _REASON_OF_CODE.get(code, ErrorReason.ERROR_REASON_INTERNAL)
        if code is grpc.StatusCode.UNAVAILABLE and unavailable is not None:
            reason = unavailable
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            reason = ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE
        result = cls(reason, message, code=code)
        status = _status_of(error)
        for detail in status.details if status else ():
            result._add_detail(detail)
        return result

    def _add_detail(self, detail: any_pb2.Any) -> None:
        info, bad, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info) and info.domain == DOMAIN:
            name = _PREFIX + info.reason
            if name in ErrorReason.keys():  # noqa: SIM118 - an enum wrapper, not a dict
                self.reason = ErrorReason.Value(name)
            self.metadata = dict(info.metadata)
            self.retryable = info.metadata.get("retryable") == "true"
        elif detail.Unpack(bad):
            self.violations = [FieldViolation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            self.retry_delay = retry.retry_delay.ToTimedelta()


def invalid(field_path: str, description: str) -> TroupeError:
    """An INVALID_ARGUMENT that names one field."""
    return TroupeError(
        ErrorReason.ERROR_REASON_INVALID_REQUEST,
        f"`{field_path}` {description}",
        violations=[FieldViolation(field_path, description)],
    )


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    try:
        return rpc_status.from_call(error)  # type: ignore[arg-type] # it reads code, details and trailers only
    except ValueError:  # details that contradict the status: not one of ours
        return None


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number


def _duration(delta: timedelta) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromTimedelta(min(max(delta, timedelta()), _MAX_DELAY))
    return duration
