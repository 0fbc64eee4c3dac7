"""Waits between attempts that fail."""


class Backoff:
    """How long to wait at most before each next attempt: twice as long as before the last, up to a bound.

    It draws nothing: who attempts the same as many others spreads the waits below the bound that it is given.
    """

    def __init__(self, *, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._next_seconds = first_seconds

    def next_seconds(self) -> float:
        """The bound of the next wait."""
        seconds = self._next_seconds
        self._next_seconds = min(2 * seconds, self._longest_seconds)
        return seconds

    def restart(self) -> None:
        """An attempt succeeded: the next wait is the first again."""
        self._next_seconds = self._first_seconds
