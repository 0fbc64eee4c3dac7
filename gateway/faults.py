"""Statuses that the gateway itself ends calls with, in the form of every other error of Troupe."""

import binascii
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.metadata import GrpcStatus, grpc_status
from troupe.gateway.wire.status import Code

INVALID_REQUEST: Final = ErrorReason.ERROR_REASON_INVALID_REQUEST
MESSAGE_TOO_LARGE: Final = ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE
QUOTA_EXCEEDED: Final = ErrorReason.ERROR_REASON_QUOTA_EXCEEDED
BACKEND_UNAVAILABLE: Final = ErrorReason.ERROR_REASON_BACKEND_UNAVAILABLE
SERVER_DRAINING: Final = ErrorReason.ERROR_REASON_SERVER_DRAINING
DEADLINE_EXCEEDED: Final = ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
NOT_IMPLEMENTED: Final = ErrorReason.ERROR_REASON_NOT_IMPLEMENTED
INTERNAL: Final = ErrorReason.ERROR_REASON_INTERNAL

_OF_REQUESTS: Final = {
    Code.INVALID_ARGUMENT: INVALID_REQUEST,
    Code.RESOURCE_EXHAUSTED: MESSAGE_TOO_LARGE,
    Code.UNIMPLEMENTED: NOT_IMPLEMENTED,
}


# When to call again: at once elsewhere, or when a backend may be back.
_RETRY_DELAYS: Final = {
    SERVER_DRAINING: timedelta(milliseconds=100),
    BACKEND_UNAVAILABLE: timedelta(seconds=1),
    QUOTA_EXCEEDED: timedelta(seconds=1),
}


def fault(reason: "ErrorReason.ValueType", message: str, violations: Sequence[tuple[str, str]] = ()) -> GrpcStatus:
    """The status for a reason, with `google.rpc.ErrorInfo` in its details.

    `BadRequest` stands there too where fields are to blame, and `RetryInfo` where another try is worth it.
    """
    fields = [FieldViolation(field, problem) for field, problem in violations]
    status = TroupeError(reason, message, fields, retry_delay=_RETRY_DELAYS.get(reason)).to_status()
    details = binascii.b2a_base64(status.SerializeToString(), newline=False).rstrip(b"=")
    return grpc_status(Code(status.code), status.message, details)


def of_request(error: RequestError) -> GrpcStatus:
    """The status of a call whose request cannot be passed on."""
    reason = _OF_REQUESTS.get(error.code)
    return grpc_status(error.code, str(error)) if reason is None else fault(reason, str(error), error.violations)
