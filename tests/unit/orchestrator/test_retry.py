"""Retry arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from troupe.orchestrator.domain.retry import Failure, RetryPolicy, retry_delay_ms

POLICY = RetryPolicy(max_attempts=5, initial_backoff_ms=100, max_backoff_ms=1000, backoff_multiplier=2)


@given(st.integers(1, 4), st.floats(0, 1, exclude_max=True))
def test_the_wait_stays_below_the_doubling_ceiling(attempt: int, draw: float) -> None:
    delay = retry_delay_ms(POLICY, Failure(14, retryable=True), attempt=attempt, draw=draw)
    assert delay is not None
    assert 0 <= delay <= min(1000, 100 * 2 ** (attempt - 1))


@given(st.integers(5, 10_000))
def test_the_last_attempt_is_the_last(attempt: int) -> None:
    assert retry_delay_ms(POLICY, Failure(14, retryable=True), attempt=attempt, draw=0.5) is None


def test_only_what_may_succeed_later_is_retried() -> None:
    assert retry_delay_ms(POLICY, Failure(3, retryable=False), attempt=1, draw=0.5) is None


def test_named_codes_win_over_the_error_s_own_word() -> None:
    policy = RetryPolicy(5, 100, 1000, 2, frozenset({3}))
    assert retry_delay_ms(policy, Failure(3, retryable=False), attempt=1, draw=0.5) == 50
    assert retry_delay_ms(policy, Failure(14, retryable=True), attempt=1, draw=0.5) is None


def test_a_delay_that_was_asked_for_is_a_lower_bound() -> None:
    failure = Failure(8, retryable=True, asked_delay_ms=5000)
    assert retry_delay_ms(POLICY, failure, attempt=1, draw=0.1) == 5000


@given(st.integers(1, 10_000))
def test_no_exponent_is_too_large(attempt: int) -> None:
    policy = RetryPolicy(20_000, 100, 1000, 10)
    assert retry_delay_ms(policy, Failure(14, retryable=True), attempt=attempt, draw=0.5) is not None
