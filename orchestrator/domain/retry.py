"""Retry arithmetic."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is followed by another. `retryable_codes` empty means: as the error says."""

    max_attempts: int
    initial_backoff_ms: float
    max_backoff_ms: float
    backoff_multiplier: float
    retryable_codes: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """What retrying depends on."""

    code: int
    retryable: bool
    asked_delay_ms: float | None = None


def retry_delay_ms(policy: RetryPolicy, failure: Failure, *, attempt: int, draw: float) -> float | None:
    """The wait before the next attempt, or None when there is none.

    Exponential backoff with full jitter; `draw` is uniform over [0, 1). A delay that the failing side asked for is a
    lower bound.
    """
    allowed = failure.code in policy.retryable_codes if policy.retryable_codes else failure.retryable
    if not allowed or attempt >= policy.max_attempts:
        return None
    exponent = min(attempt - 1, 64)  # keeps the power finite; the cap holds long before
    ceiling = min(policy.max_backoff_ms, policy.initial_backoff_ms * policy.backoff_multiplier**exponent)
    return max(ceiling * draw, failure.asked_delay_ms or 0.0)
