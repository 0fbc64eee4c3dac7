"""What the end of a call says about an attempt."""

import grpc.aio

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError


def explained(error: grpc.aio.AioRpcError) -> TroupeError:
    """The failure of a call that gRPC ended."""
    found = TroupeError.from_rpc(error, unavailable=ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE)
    if found.reason == ErrorReason.ERROR_REASON_CANCELLED:  # not by us: the server went away
        return TroupeError(ErrorReason.ERROR_REASON_AGENT_UNAVAILABLE, "the agent's server cancelled the call")
    return found


def late(agent: str, timeout_seconds: float) -> TroupeError:
    """The attempt took longer than it may."""
    return TroupeError(
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, f"agent `{agent}` did not end within {timeout_seconds:.1f} s"
    )
