"""What calls fail with: always a `TroupeError`."""

import grpc
import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError


def from_call(error: grpc.aio.AioRpcError, target: str, *, server: str = "orchestrator") -> TroupeError:
    """Reads what a call to the server at `target` ended with. If nobody answers, there is no reason but UNAVAILABLE."""
    result = TroupeError.from_rpc(error, unavailable=ErrorReason.ERROR_REASON_UNSPECIFIED)
    return no_answer(target, result.message, server=server) if is_unreachable(result) else result


def no_answer(target: str, problem: str, *, server: str = "orchestrator") -> TroupeError:
    """Nobody answers at `target`."""
    return TroupeError(
        ErrorReason.ERROR_REASON_UNSPECIFIED,
        f"no {server} answers at {target}",
        code=grpc.StatusCode.UNAVAILABLE,
        retryable=True,
        metadata={"target": target, "problem": problem},
    )


def is_unreachable(error: TroupeError) -> bool:
    """Whether no server of ours said anything."""
    return error.code is grpc.StatusCode.UNAVAILABLE and error.reason == ErrorReason.ERROR_REASON_UNSPECIFIED


def is_cut(error: TroupeError) -> bool:
    """Whether a stream that ended so can go on: our servers say so by UNAVAILABLE, proxies by codes without details."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return True
    from_our_server = "retryable" in error.metadata
    broken = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
    return not from_our_server and error.code in broken
