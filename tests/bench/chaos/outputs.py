"""What the agents produce: a function of the step and of what it was handed, the same for every attempt."""

import hashlib
from collections.abc import Sequence


def expected_text(step_id: str, dependency_texts: Sequence[str]) -> str:
    """The text of a step's output; it vouches for the outputs of its dependencies, in their order."""
    digest = hashlib.sha256("|".join(dependency_texts).encode()).hexdigest()
    return f"{step_id}:{digest[:12]}"


def counted(numbers: range) -> str:
    """The text that a counting agent streams."""
    return "".join(f"{number} " for number in numbers)
