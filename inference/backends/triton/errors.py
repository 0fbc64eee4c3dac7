"""What went wrong in Triton, as errors that callers can act on."""

import re
from datetime import timedelta
from typing import Final

import grpc
import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError, invalid, says_too_large

# Value of `cause` in the metadata of errors of a model that is loaded, but whose process is gone.
PROCESS_LOST: Final = "process_lost"
_QUEUE_RETRY: Final = timedelta(milliseconds=200)
# Triton says these things only in words; 2.51 and later agree on them.
_QUEUE_FULL: Final = "exceeds maximum queue size"
_QUEUE_TIMEOUT: Final = "request timeout expired"
_CANCELLED: Final = "cancelled"
_PROCESS_LOST: Final = "not healthy"
# Of vLLM, of llama.cpp and of TensorRT-LLM.
_TOO_LONG: Final = re.compile(
    r"maximum (?:context|model) length|available context size|max_input_len|exceed_context_size", re.IGNORECASE
)
_GONE: Final = ("unknown model", _PROCESS_LOST, "is not ready", "not found", "unhealthy", "restart")


def from_status(error: grpc.aio.AioRpcError, *, model: str, url: str, setting: str) -> TroupeError:
    """The error that a call ended with; `setting` says where Triton is."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _deadline(model)
    if code is grpc.StatusCode.CANCELLED:
        return TroupeError(ErrorReason.ERROR_REASON_CANCELLED, f"the call of model `{model}` was cancelled")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and says_too_large(details):
        return TroupeError(ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE, f"model `{model}`: {details}")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # of a proxy in front of it
        return _busy(model, f"the server of model `{model}` takes no more now: {details}")
    if code is grpc.StatusCode.UNAVAILABLE and not _known(details):
        return TroupeError(
            ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
            f"model `{model}` cannot be reached: Triton at {url!r} does not answer ({details}); start it, or set"
            f" `{setting}` to where it runs",
            metadata={"model": model},
        )
    return from_words(details, model=model)


def from_words(problem: str, *, model: str) -> TroupeError:
    """The error that Triton put into a response."""
    lower = problem.lower()
    if _TOO_LONG.search(problem):
        return _too_long(problem, model)
    if _QUEUE_FULL in lower:
        return _busy(model, f"the queue of model `{model}` is full")
    if _QUEUE_TIMEOUT in lower:
        return _deadline(model)
    if _CANCELLED in lower:
        return TroupeError(ErrorReason.ERROR_REASON_CANCELLED, f"model `{model}` was cancelled")
    if any(words in lower for words in _GONE):
        return TroupeError(
            ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
            f"model `{model}` is not ready in Triton: {problem}",
            metadata={"model": model, "cause": PROCESS_LOST if _PROCESS_LOST in lower else "not_ready"},
        )
    return TroupeError(ErrorReason.ERROR_REASON_MODEL_REFUSED, f"model `{model}`: {problem}", metadata={"model": model})


def _too_long(problem: str, model: str) -> TroupeError:
    numbers = sorted({int(number) for number in re.findall(r"\d{2,9}", problem)})
    sizes = f": {numbers[-1]} tokens, where it takes {numbers[0]}" if len(numbers) == 2 else ""
    return invalid("messages", f"are longer than model `{model}` can read{sizes}; shorten them")


def _busy(model: str, problem: str) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_QUOTA_EXCEEDED,
        problem,
        metadata={"subject": f"model:{model}"},
        retry_delay=_QUEUE_RETRY,
    )


def _known(details: str) -> bool:
    lower = details.lower()
    return any(words in lower for words in (_QUEUE_FULL, _QUEUE_TIMEOUT, *_GONE))


def _deadline(model: str) -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        f"model `{model}` did not answer within the call's deadline",
        metadata={"model": model},
    )
