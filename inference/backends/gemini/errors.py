"""What went wrong at Gemini, as errors that callers can act on."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import grpc

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError

_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"


def from_http(code: int, message: str, details: Any, *, model: str) -> TroupeError:
    """The error of an HTTP status; `details` is the body as JSON, which the client hands on unread."""
    metadata = {"model": model}
    told = f"model `{model}`: {message}"
    if code == 429:
        return TroupeError(
            ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
            told,
            metadata={"subject": f"model:{model}"},
            retry_delay=retry_delay(details),
        )
    if code == 404:
        return TroupeError(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, told, metadata=metadata)
    if code in (408, 504):
        return TroupeError(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, told, metadata=metadata)
    if code >= 500:
        return unavailable(message, model=model)
    if code in (401, 403) or "api key" in message.lower():  # a bad key is 400 API_KEY_INVALID
        problem = f"{told}; check the `api_key` of its backend in the settings, or GEMINI_API_KEY"
        return TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, problem, metadata=metadata)
    return TroupeError(
        ErrorReason.ERROR_REASON_MODEL_REFUSED, told, metadata=metadata, code=grpc.StatusCode.INVALID_ARGUMENT
    )


def unavailable(problem: str, *, model: str) -> TroupeError:
    """Gemini cannot be reached, or broke off."""
    return TroupeError(
        ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
        f"model `{model}` cannot be reached: {problem}",
        metadata={"model": model},
    )


def late(*, model: str) -> TroupeError:
    """The caller's deadline has passed."""
    return TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        f"model `{model}` did not answer within the call's deadline",
        metadata={"model": model},
    )


def retry_delay(details: Any) -> timedelta | None:
    """The pause that a `google.rpc.RetryInfo` asks for, such as `34.07s`."""
    error = details.get("error", details) if isinstance(details, Mapping) else {}
    for detail in error.get("details") or () if isinstance(error, Mapping) else ():
        if isinstance(detail, Mapping) and detail.get("@type") == _RETRY_INFO:
            try:
                return timedelta(seconds=float(str(detail.get("retryDelay", "")).removesuffix("s")))
            except ValueError:
                return None
    return None
