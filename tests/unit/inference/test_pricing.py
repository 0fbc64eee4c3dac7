from hypothesis import given
from hypothesis import strategies as st

from troupe.inference.pricing import cost_usd_micros
from troupe.inference.settings import ModelPrice

_PRICE = st.builds(
    ModelPrice,
    input_usd_micros_per_million_tokens=st.integers(0, 10**8),
    output_usd_micros_per_million_tokens=st.integers(0, 10**8),
)


def test_a_million_tokens_cost_their_price() -> None:
    price = ModelPrice(input_usd_micros_per_million_tokens=300_000, output_usd_micros_per_million_tokens=2_500_000)
    assert cost_usd_micros(price, input_tokens=1_000_000, output_tokens=1_000_000) == 2_800_000
    assert cost_usd_micros(price, input_tokens=1, output_tokens=0) == 1
    assert cost_usd_micros(ModelPrice(), input_tokens=10**9, output_tokens=10**9) == 0


@given(_PRICE, st.integers(0, 10**7), st.integers(0, 10**7))
def test_rounding_never_undercharges_and_by_less_than_one(price: ModelPrice, read: int, written: int) -> None:
    exact = read * price.input_usd_micros_per_million_tokens + written * price.output_usd_micros_per_million_tokens
    assert 0 <= cost_usd_micros(price, input_tokens=read, output_tokens=written) * 1_000_000 - exact < 1_000_000
