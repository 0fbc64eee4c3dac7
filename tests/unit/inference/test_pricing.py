from hypothesis import given
from hypothesis import strategies as st

from troupe.api.inference.v1.inference_service_pb2 import Model
from troupe.inference.backends.settings import ModelPrice, ModelSettings
from troupe.inference.pricing import cost_usd_micros


def priced(read: int, written: int) -> Model:
    price = ModelPrice(input_usd_micros_per_million_tokens=read, output_usd_micros_per_million_tokens=written)
    return ModelSettings(price=price).described("x")


def test_a_million_tokens_cost_their_price() -> None:
    model = priced(300_000, 2_500_000)
    assert cost_usd_micros(model, input_tokens=1_000_000, output_tokens=1_000_000) == 2_800_000
    assert cost_usd_micros(model, input_tokens=1, output_tokens=0) == 1
    assert cost_usd_micros(priced(0, 0), input_tokens=10**9, output_tokens=10**9) == 0


@given(
    st.integers(0, 10**8),
    st.integers(0, 10**8),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
)
def test_rounding_never_undercharges_and_by_less_than_one(
    input_price: int, output_price: int, read: int, written: int
) -> None:
    exact = read * input_price + written * output_price
    cost = cost_usd_micros(priced(input_price, output_price), input_tokens=read, output_tokens=written)
    assert 0 <= cost * 1_000_000 - exact < 1_000_000
