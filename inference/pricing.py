"""What a call costs."""

from troupe.inference.settings import ModelPrice


def cost_usd_micros(price: ModelPrice, *, input_tokens: int, output_tokens: int) -> int:
    """The cost in millionths of a US dollar, rounded up, so that no call with a price is free."""
    total = (
        input_tokens * price.input_usd_micros_per_million_tokens
        + output_tokens * price.output_usd_micros_per_million_tokens
    )
    return -(-total // 1_000_000)
