"""Waits between attempts."""

from troupe.core.backoff import Backoff


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(first_seconds=0.25, longest_seconds=1.5)
    assert [backoff.next_seconds() for _ in range(5)] == [0.25, 0.5, 1, 1.5, 1.5]
    backoff.restart()
    assert [backoff.next_seconds() for _ in range(2)] == [0.25, 0.5]


def test_it_does_not_grow_for_ever() -> None:
    backoff = Backoff(first_seconds=1e-3, longest_seconds=1)
    assert max(backoff.next_seconds() for _ in range(10_000)) == 1
