from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from troupe.client.patience import Patience, Retries


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def longest(_low: float, high: float) -> float:
    return high


def test_the_bound_doubles_up_to_two_seconds() -> None:
    retries = Retries(Patience(connect_seconds=1e6), clock=Clock(), draw=longest)
    delays = [retries.next_delay_seconds() or 0 for _ in range(8)]
    assert delays[0] == 0.1
    assert all(later == min(2.0, 2 * earlier) for earlier, later in pairwise(delays))


@given(st.floats(0, 100), st.floats(0, 100))
def test_patience_before_and_after_the_first_event(connect_seconds: float, reconnect_seconds: float) -> None:
    clock = Clock()
    patience = Patience(connect_seconds=connect_seconds, reconnect_seconds=reconnect_seconds)
    retries = Retries(patience, clock=clock, draw=lambda low, _high: low)
    clock.now = connect_seconds
    assert retries.next_delay_seconds() == 0
    clock.now = connect_seconds + 0.5
    assert retries.next_delay_seconds() is None
    retries.progressed()
    clock.now += reconnect_seconds + 0.5
    assert retries.next_delay_seconds() is None


def test_the_server_may_ask_for_more() -> None:
    retries = Retries(Patience(connect_seconds=10), clock=Clock(), draw=longest)
    assert retries.next_delay_seconds(at_least=3) == 3
    assert retries.next_delay_seconds(at_least=30) is None
