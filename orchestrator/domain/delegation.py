"""Bounds on delegation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DelegationBounds:
    """How far delegation may go: delegations within delegations, and steps of a task in all."""

    max_depth: int
    max_steps: int
