from hypothesis import given
from hypothesis import strategies as st

from troupe.local.keeper import RestartDelays


@given(st.lists(st.floats(0, 100), max_size=40))
def test_waits_double_and_start_anew_after_a_healthy_life(lives: list[float]) -> None:
    delays = RestartDelays(first_seconds=0.2, longest_seconds=10, healthy_seconds=30)
    expected = 0.0
    for lived in lives:
        expected = 0.2 if lived >= 30 or not expected else min(10, 2 * expected)
        assert delays.after(lived) == expected
