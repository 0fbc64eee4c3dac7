"""What the end of a call says about an attempt."""

from typing import Final

import grpc.aio

from troupe.api.common.v1.error_pb2 import Error, ErrorReason
from troupe.core.errors import TroupeError

_UNAVAILABLE: Final = ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE
_FAILED: Final = ErrorReason.ERROR_REASON_AGENT_FAILED


class CallInterruptedError(Exception):
    """The call ended through no fault of its own: the stream that it shared broke. Its step can begin anew."""


def explained(error: grpc.aio.AioRpcError) -> TroupeError:
    """The failure of a call that gRPC ended."""
    return _gone(TroupeError.from_rpc(error, unavailable=_UNAVAILABLE, failed=_FAILED))


def told(error: Error) -> TroupeError:
    """The failure of a call that its agent tells of."""
    try:
        return _gone(TroupeError.from_proto(error, unavailable=_UNAVAILABLE, failed=_FAILED))
    except ValueError as problem:
        return garbage(f"an error with {problem}")


def _gone(error: TroupeError) -> TroupeError:
    if error.reason == ErrorReason.ERROR_REASON_CANCELLED:  # not by us: the server went away
        return TroupeError(_UNAVAILABLE, "the agent's server cancelled the call")
    return error


def garbage(what: str) -> TroupeError:
    """The agent sent what is no answer."""
    return TroupeError(_FAILED, f"the agent sent {what}, which is no answer to a step")


def late(agent: str, timeout_seconds: float) -> TroupeError:
    """The attempt took longer than it may."""
    return TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, f"agent `{agent}` did not end within {timeout_seconds:.1f} s"
    )
