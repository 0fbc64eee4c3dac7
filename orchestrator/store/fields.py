"""The places of the values that a task's hash holds packed: the script and its readers share them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

TASK: Final = (
    "state",
    "running",
    "open",
    "sequence",
    "trimmed",
    "ready",
    "started",
    "ended",
    "deadline",
    "tokens",
    "cost",
    "held_tokens",
    "held_cost",
    "notified",
)
"""What changes of a task. Times are ms of Redis's clock; `ready` is only counted where there is a budget."""

TASK_BASE: Final = (
    "project",
    "priority",
    "created",
    "plan_us",
    "timeout",
    "retention",
    "keep",
    "trace",
    "max_tokens",
    "max_cost",
    "webhook",
)
"""What does not."""

STEP: Final = (
    "state",
    "attempt",
    "ready",
    "started",
    "ended",
    "left",
    "events",
    "failures",
    "lost",
    "cost_units",
    "input_tokens",
    "output_tokens",
    "cost",
    "model_calls",
    "held_tokens",
    "held_cost",
    "decision",
    "delegated",
)
"""What changes of a step. `left` counts what it waits for, `events` those of its attempt, `lost` its lost leases."""

STEP_BASE: Final = ("agent", "depends_on", "dependants", "approval", "parent", "depth", "message")
"""What does not, but for dependants that are delegated."""


def unpack(names: Sequence[str], packed: bytes) -> Mapping[str, Any]:
    """The values of a packed field, by name; texts as bytes."""
    return dict(zip(names, msgpack.unpackb(packed, raw=True), strict=True))
