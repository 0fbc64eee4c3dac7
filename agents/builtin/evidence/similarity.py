"""How close texts are, by the deployment's embedder."""

import math
from collections.abc import Sequence

from troupe.agents.runtime.context import AgentContext

Vector = Sequence[float]


async def vectors_of(context: AgentContext, texts: Sequence[str]) -> dict[str, Vector]:
    """The vector of each text; equal texts are embedded once."""
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, await context.embed(unique), strict=True)) if unique else {}


def cosine(one: Vector, other: Vector) -> float:
    """The cosine, at least 0 and at most 1."""
    length = math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))
    return min(1.0, max(0.0, sum(x * y for x, y in zip(one, other, strict=True)) / length)) if length else 0.0
