"""What a supervisor is to keep running, as values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from troupe.local.launch import Launch
from troupe.local.probes import KINDS, Probe


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process of a stack.

    `kind` says how its health is asked for. `make` builds the command anew for each start, as servers clean up what a
    killed one left; it may block. `prepare` runs to its end before the first start. `leftovers` is a pattern of files
    that a killed one leaves; while it runs they are closed to other users. A program without `make` runs elsewhere: it
    is only waited for, and an optional one not even that.
    """

    name: str
    address: str
    kind: str
    make: Callable[[], Launch] | None = None
    prepare: Launch | None = None
    leftovers: str = ""
    needs: Sequence[str] = ()
    grace_seconds: float = 12
    optional: bool = False

    @property
    def probe(self) -> Probe:
        """Asks for its health."""
        return KINDS[self.kind](self.address)
