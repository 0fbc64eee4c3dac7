"""How a call ended, seen from around its handler."""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc
import grpc.aio

from troupe.core.interceptors.around import Context

# gRPC keeps the code as it was given: as an enum, or as its number.
_CODES: Final[Mapping[object, grpc.StatusCode]] = {
    **{code: code for code in grpc.StatusCode},
    **{code.value[0]: code for code in grpc.StatusCode},
    None: grpc.StatusCode.OK,
}


def outcome(context: Context, error: BaseException | None) -> grpc.StatusCode:
    """The status that the client sees; `error` is what the handler raised."""
    if error is None or isinstance(error, grpc.aio.AbortError):
        return _CODES.get(context.code(), grpc.StatusCode.UNKNOWN)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        left = context.time_remaining()
        return grpc.StatusCode.CANCELLED if left is None or left > 0 else grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.UNKNOWN
