"""What the answer of a receiver means: delivered, again later, or given up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from troupe.core.web.errors import RefusedUrlError, WebError
from troupe.orchestrator.domain.retry import Failure, RetryPolicy, retry_delay_ms

# The receiver wants no more calls: https://github.com/standard-webhooks/standard-webhooks
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Rejection:
    """A call that did not deliver. `status` 0: no response came."""

    problem: str
    status: int = 0
    final: bool = False
    asked_delay_ms: float | None = None

    def retry_ms(self, policy: RetryPolicy, *, attempt: int, draw: float) -> int | None:
        """The wait before the next attempt, or None when there is none; a wish counts up to the longest backoff."""
        asked = None if self.asked_delay_ms is None else min(self.asked_delay_ms, policy.max_backoff_ms)
        failure = Failure(self.status, retryable=not self.final, asked_delay_ms=asked)
        delay = retry_delay_ms(policy, failure, attempt=attempt, draw=draw)
        return None if delay is None else round(delay)


def rejection_of_response(status: int, headers: Mapping[str, str], *, now: datetime) -> Rejection | None:
    """None for a response that says delivered, which is any 2xx."""
    if 200 <= status < 300:
        return None
    return Rejection(
        problem=f"the receiver answered {status}",
        status=status,
        final=status == _GONE,
        asked_delay_ms=_retry_after_ms(headers.get("retry-after", ""), now=now),
    )


def rejection_of_error(error: WebError) -> Rejection:
    """A refused URL stays refused; what did not answer may answer later."""
    return Rejection(problem=str(error), final=isinstance(error, RefusedUrlError))


def _retry_after_ms(value: str, *, now: datetime) -> float | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3); anything else is no wish."""
    if value.isascii() and value.isdigit():
        return float(value[:9]) * 1000
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:  # the zone `-0000`
        return None
    return max(0.0, (date - now).total_seconds() * 1000)
