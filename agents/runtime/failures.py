"""Turns whatever code of agents and tools raises into an error with a reason."""

import traceback
from pathlib import Path

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.logs import get_logger


def told(error: Exception, who: str) -> TroupeError:
    """What the caller is told; an error without a reason is a defect of `who` and logged."""
    while isinstance(error, ExceptionGroup):  # of a task group: the first is the cause
        error = error.exceptions[0]
    if isinstance(error, TroupeError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return TroupeError.from_rpc(error)
    kind = type(error).__name__
    # Not the exception's message: it may hold text of documents.
    get_logger().error("defect", where=who, error=kind, frames=_frames(error))
    return TroupeError(
        ErrorReason.ERROR_REASON_AGENT_FAILED,
        f"{who} failed with {kind}, which is a defect of it; the log of its process says where",
        metadata={"error": kind},
    )


def _frames(error: Exception) -> list[str]:
    """Where it was raised, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
