"""One line of log for each call."""

from dataclasses import dataclass
from typing import Protocol

from gateway.wire import status
from troupe.core.logs import get_logger


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that has ended."""

    method: str
    protocol: str
    request_id: str
    grpc_status: bytes
    elapsed_ms: float
    response_bytes: int


class AccessLog(Protocol):
    """Takes the records of calls."""

    def ended(self, record: CallRecord) -> None:
        """The call has ended."""
        ...


class StructuredAccessLog:
    """Writes records to the log of the process."""

    def ended(self, record: CallRecord) -> None:
        """See `AccessLog`."""
        get_logger().info(
            "call ended",
            method=record.method,
            protocol=record.protocol,
            request_id=record.request_id,
            status=status.name_of(record.grpc_status),
            elapsed_ms=round(record.elapsed_ms, 1),
            response_bytes=record.response_bytes,
        )


class NoAccessLog:
    """Drops them."""

    def ended(self, record: CallRecord) -> None:
        """See `AccessLog`."""
