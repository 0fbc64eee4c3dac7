"""Receipts: when a message that delivered several attempts may be acknowledged."""


class Settlement:
    """Counts the attempts of a message that are still open."""

    def __init__(self, attempts: int) -> None:
        self._open = attempts

    def settle_one(self) -> bool:
        """Whether this was the last."""
        self._open -= 1
        return self._open == 0


class Receipt:
    """One attempt's share in its message.

    A receipt that is never taken keeps the message from being acknowledged: another worker answers for it.
    """

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._taken = False

    def take(self) -> bool:
        """Settles the attempt; True when the message shall be acknowledged with it. Only the first call counts."""
        if self._taken:
            return False
        self._taken = True
        return self._settlement.settle_one()
