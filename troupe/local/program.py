"""What a supervisor is to keep running, as values."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from troupe.local.launch import Launch

Probe = Callable[[], Awaitable[None]]
"""Returns when the process does its work; raises, with a message for people, when it does not."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process of a stack.

    `make` builds the command anew for each start, as servers clean up what a killed one left; it may block.
    `prepare` runs to its end before the first start. `leftovers` is a pattern of files that a killed one leaves.
    A program without `make` runs elsewhere: it is only waited for.
    """

    name: str
    address: str
    probe: Probe
    make: Callable[[], Launch] | None = None
    prepare: Launch | None = None
    leftovers: str = ""
    needs: Sequence[str] = ()
    grace_seconds: float = 12
