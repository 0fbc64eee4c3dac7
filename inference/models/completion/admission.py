"""Who may use the model now: as many as it has slots, the others in the order in which they came."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

# How long a request that nobody waits for any more may stand in the queue.
_SWEEP_SECONDS: Final = 0.05


class Call(Protocol):
    """One request."""

    def serve(self) -> None:
        """Answers it, whole."""

    def cancelled(self) -> bool:
        """Whether its caller has gone."""

    def drop(self) -> None:
        """Ends it without an answer."""


class Admission:
    """A thread for each slot. Calls that are cancelled while they wait are dropped within `_SWEEP_SECONDS`."""

    def __init__(self, *, slots: int, waiting: int) -> None:
        """At most `waiting` calls wait."""
        self._most_waiting = waiting
        self._waiting: deque[Call] = deque()
        self._changed = threading.Condition()
        self._closed = False
        threads: list[Callable[[], None]] = [self._serve] * slots
        self._threads = [threading.Thread(target=run, daemon=True) for run in (*threads, self._sweep)]
        for thread in self._threads:
            thread.start()

    def admit(self, call: Call) -> bool:
        """Takes a call; False when too many wait already."""
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                return False
            self._waiting.append(call)
            self._changed.notify()
        return True

    def close(self) -> None:
        """Drops what waits and returns once what runs has ended."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for call in left:
            call.drop()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                call = self._waiting.popleft()
            if call.cancelled():
                call.drop()
            else:
                call.serve()

    def _sweep(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, timeout=_SWEEP_SECONDS):
                    return
                gone = [call for call in self._waiting if call.cancelled()]
                for call in gone:
                    self._waiting.remove(call)
            for call in gone:
                call.drop()
