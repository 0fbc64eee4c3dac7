"""Domain errors and the one table that maps them to gRPC.

Handlers raise `TroupeError`; the errors interceptor turns it into a `google.rpc.Status`, and clients turn
that back with `TroupeError.from_rpc`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from troupe.api.common.v1 import error_pb2
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.error_fitting import MAX_VIOLATIONS, RETRYABLE, SHORTENED, VIOLATIONS, fitted, sound

DOMAIN: Final = "troupe"
_PREFIX: Final = "ERROR_REASON_"
_UNKNOWN_REASON: Final = "UNSPECIFIED"
_MAX_DELAY: Final = timedelta(days=3650)
_DETAILS: Final = "grpc-status-details-bin"


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
    ErrorReason.ERROR_REASON_HISTORY_CHANGED: ErrorRule(grpc.StatusCode.OUT_OF_RANGE),
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

# Stand in the table below for the reasons that a caller of `from_rpc` chooses.
_UNREACHABLE: Final = ErrorReason.ERROR_REASON_BACKEND_UNAVAILABLE
_FAILED: Final = ErrorReason.ERROR_REASON_INTERNAL


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What a code of a server that knows nothing of Troupe means. `retryable` None: as the reason's rule has it."""

    reason: "ErrorReason.ValueType"
    retryable: bool | None

    def of(
        self, unavailable: "ErrorReason.ValueType | None", failed: "ErrorReason.ValueType"
    ) -> "ErrorReason.ValueType":
        """The reason, with what a caller chose for servers that are gone and for those that failed."""
        if self.reason == _UNREACHABLE and unavailable is not None:
            return unavailable
        return failed if self.reason in (_UNREACHABLE, _FAILED) else self.reason


# Every code, as gRPC's own guidance has it: what may pass by itself is worth another attempt, what the caller or the
# server's operator must mend is not. UNKNOWN and INTERNAL are what servers make of defects in their handlers: whether
# those are tried again depends on whose they are. A code without details may also be gRPC's own.
# https://grpc.io/docs/guides/status-codes/ and https://google.aip.dev/194
RULES_OF_CODES: Final[Mapping[grpc.StatusCode, CodeRule]] = {
    grpc.StatusCode.OK: CodeRule(_FAILED, None),  # a call cannot fail with it; a server may still say so in details
    grpc.StatusCode.CANCELLED: CodeRule(ErrorReason.ERROR_REASON_CANCELLED, False),
    grpc.StatusCode.UNKNOWN: CodeRule(_FAILED, None),
    grpc.StatusCode.INVALID_ARGUMENT: CodeRule(ErrorReason.ERROR_REASON_INVALID_REQUEST, False),
    grpc.StatusCode.DEADLINE_EXCEEDED: CodeRule(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, True),
    grpc.StatusCode.NOT_FOUND: CodeRule(_FAILED, False),
    grpc.StatusCode.ALREADY_EXISTS: CodeRule(_FAILED, False),
    grpc.StatusCode.PERMISSION_DENIED: CodeRule(_FAILED, False),
    grpc.StatusCode.UNAUTHENTICATED: CodeRule(_FAILED, False),
    grpc.StatusCode.RESOURCE_EXHAUSTED: CodeRule(ErrorReason.ERROR_REASON_QUOTA_EXCEEDED, True),
    grpc.StatusCode.FAILED_PRECONDITION: CodeRule(_FAILED, False),
    grpc.StatusCode.ABORTED: CodeRule(_FAILED, True),
    grpc.StatusCode.OUT_OF_RANGE: CodeRule(_FAILED, False),
    grpc.StatusCode.UNIMPLEMENTED: CodeRule(ErrorReason.ERROR_REASON_NOT_IMPLEMENTED, False),
    grpc.StatusCode.INTERNAL: CodeRule(_FAILED, None),
    grpc.StatusCode.UNAVAILABLE: CodeRule(_UNREACHABLE, True),
    grpc.StatusCode.DATA_LOSS: CodeRule(_FAILED, False),
}
_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}

# How gRPC's own implementations (C, Go, Java, .NET, Node) say that a message, or metadata, is larger than they take:
# by the code of a spent quota, and the same message would not fit later either.
_TOO_LARGE: Final = re.compile(
    r"message (?:is )?larger than|message (?:size )?exceeds (?:the )?(?:configured )?max|message with a size larger"
    r"|message length too large|metadata size exceeds",
    re.IGNORECASE,
)


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
    def from_proto(
        cls,
        error: error_pb2.Error,
        *,
        unavailable: "ErrorReason.ValueType | None" = None,
        failed: "ErrorReason.ValueType" = _FAILED,
    ) -> "TroupeError":
        """The error that an event, a record or an agent tells of.

        Without a reason that is known here it is what its code alone means, and a delay asks to come back.
        `unavailable` and `failed` are as `from_rpc` has them.

        Raises:
            ValueError: its delay is no duration.
        """
        delay = _delta(error.retry_delay) if error.HasField("retry_delay") else None
        code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
        rule, known = _rule_of(code, error.message), error.reason in RULES
        return cls(
            error.reason if known else rule.of(unavailable, failed),
            error.message,
            metadata=dict(error.metadata),
            retry_delay=delay,
            code=grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code,
            retryable=True if error.retryable or delay is not None else (False if known else rule.retryable),
        )

    @classmethod
    def from_rpc(
        cls,
        error: grpc.aio.AioRpcError,
        *,
        unavailable: "ErrorReason.ValueType | None" = None,
        failed: "ErrorReason.ValueType" = _FAILED,
    ) -> "TroupeError":
        """Reads the error that a call ended with; it never fails itself.

        `unavailable` is the reason for a server that could not be reached at all, `failed` the one for a server whose
        own code failed, or whose details cannot be read.
        """
        code, message = error.code(), error.details() or ""
        try:
            details = _Details.of(error)
        except (ValueError, DecodeError) as problem:
            return cls(failed, f"{message} (with details that cannot be read: {problem})".lstrip())
        rule = RULES_OF_CODES[code] if details.given else _rule_of(code, message)
        retryable = details.retryable
        if retryable is None and details.retry_delay is not None:
            retryable = True
        if retryable is None and details.reason is None:
            retryable = rule.retryable
        return cls(
            rule.of(unavailable, failed) if details.reason is None else details.reason,
            message,
            violations=details.violations,
            metadata=details.metadata,
            retry_delay=details.retry_delay,
            code=code,
            retryable=retryable,
        )


@dataclass(slots=True)
class _Details:
    """What the details of a status say: None where they are silent. `given`: there are any."""

    given: bool = False
    reason: "ErrorReason.ValueType | None" = None
    retryable: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[FieldViolation] = ()
    retry_delay: timedelta | None = None

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "_Details":
        """Reads them.

        Raises:
            ValueError: they are of another code, or hold what cannot be.
            DecodeError: they are no messages.
        """
        trailers = dict(error.trailing_metadata() or ())
        if (encoded := trailers.get(_DETAILS)) is None:
            return cls()
        status = status_pb2.Status.FromString(encoded if isinstance(encoded, bytes) else encoded.encode())
        if status.code != _number(error.code()):
            raise ValueError(f"they are of code {status.code}")
        found = cls(given=bool(status.details))
        for detail in status.details:
            found._add(detail)
        return found

    def _add(self, detail: any_pb2.Any) -> None:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            name = _PREFIX + info.reason
            if name in ErrorReason.keys() and ErrorReason.Value(name):  # noqa: SIM118 - an enum wrapper, not a dict
                self.reason = ErrorReason.Value(name)
            self.metadata = dict(info.metadata)
            self.retryable = {"true": True, "false": False}.get(info.metadata.get("retryable", ""))
        elif detail.Unpack(bad):
            self.violations = [FieldViolation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            self.retry_delay = _delta(retry.retry_delay)


def invalid(field_path: str, description: str) -> TroupeError:
    """An INVALID_ARGUMENT that names one field."""
    return TroupeError(
        ErrorReason.ERROR_REASON_INVALID_REQUEST,
        f"`{field_path}` {description}",
        violations=[FieldViolation(field_path, description)],
    )


def _rule_of(code: grpc.StatusCode, message: str) -> CodeRule:
    """What a code means without details; gRPC itself says by the code of a spent quota that a message is too large."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and says_too_large(message):
        return CodeRule(ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE, False)
    return RULES_OF_CODES[code]


def says_too_large(problem: str) -> bool:
    """Whether the words of a RESOURCE_EXHAUSTED are gRPC's own for a message that is too large: no quota is spent."""
    return _TOO_LARGE.search(problem) is not None


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number


def _duration(delta: timedelta) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromTimedelta(min(max(delta, timedelta()), _MAX_DELAY))
    return duration


def _delta(duration: duration_pb2.Duration) -> timedelta:
    """A wait; none is shorter than none.

    Raises:
        ValueError: it is no duration.
    """
    try:
        return max(timedelta(), duration.ToTimedelta())
    except OverflowError:
        raise ValueError(f"a delay of {duration.seconds} s") from None
