import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.agents.runtime.budget import Budget, Price
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.core.errors import TroupeError

COUNTS = st.integers(0, 100_000)


@given(COUNTS, COUNTS, st.lists(st.tuples(COUNTS, COUNTS, st.integers(0, 5_000_000)), max_size=10))
def test_reservations_never_exceed_what_is_left(tokens: int, cost: int, calls: list[tuple[int, int, int]]) -> None:
    budget = Budget(tokens=tokens, cost_usd_micros=cost)
    taken_tokens = taken_cost = 0
    for input_tokens, output_tokens, price in calls:
        try:
            one = budget.reserve(input_tokens=input_tokens, output_tokens=output_tokens, price=Price(price, price))
        except TroupeError:
            continue
        taken_tokens += one.tokens
        taken_cost += one.cost_usd_micros
        assert one.output_tokens <= output_tokens
    assert taken_tokens <= tokens
    assert taken_cost <= cost


def test_what_was_set_aside_comes_back() -> None:
    budget = Budget(tokens=1_000)
    reservation = budget.reserve(input_tokens=500, output_tokens=500, price=Price())
    with pytest.raises(TroupeError, match="0 tokens of the task's budget are left") as refused:
        budget.reserve(input_tokens=1, output_tokens=100, price=Price())
    assert refused.value.reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
    assert not refused.value.retryable
    budget.settle(reservation, Usage(input_tokens=100, output_tokens=20))
    assert budget.reserve(input_tokens=500, output_tokens=500, price=Price()).output_tokens == 380


def test_without_a_bound_everything_fits() -> None:
    assert Budget().reserve(input_tokens=10**9, output_tokens=10**9, price=Price(10**6, 10**6)).output_tokens == 10**9
