"""What a call costs."""

from troupe.api.inference.v1.inference_service_pb2 import Model


def cost_usd_micros(model: Model, *, input_tokens: int, output_tokens: int) -> int:
    """The cost in millionths of a US dollar, rounded up, so that no call with a price is free."""
    total = (
        input_tokens * model.input_price_usd_micros_per_million_tokens
        + output_tokens * model.output_price_usd_micros_per_million_tokens
    )
    return -(-total // 1_000_000)
