"""What a step may still spend. Pure.

Before a model is called, the most that the call can use is set aside; when it has ended, what it used is taken
instead. So calls that run at the same time cannot spend the same tokens.
"""

from dataclasses import dataclass
from typing import Final

from troupe.api.agent.v1.agent_service_pb2 import ExecuteRequest
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.core.errors import TroupeError

_MILLION: Final = 1_000_000
# With less room than this an answer would be cut before it says anything.
_MIN_OUTPUT_TOKENS: Final = 40


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-USD for a million tokens."""

    input: int = 0
    output: int = 0

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """Micro-USD, rounded up."""
        return -(-(input_tokens * self.input + output_tokens * self.output) // _MILLION)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for one call."""

    output_tokens: int
    tokens: int
    cost_usd_micros: int


class Budget:
    """What is left; None means no bound."""

    def __init__(self, *, tokens: int | None = None, cost_usd_micros: int | None = None) -> None:
        self._tokens = tokens
        self._cost = cost_usd_micros

    @classmethod
    def of(cls, step: ExecuteRequest) -> "Budget":
        """The budget that a step comes with."""
        return cls(tokens=step.budget.tokens or None, cost_usd_micros=step.budget.cost_usd_micros or None)

    def reserve(self, *, input_tokens: int, output_tokens: int, price: Price) -> Reservation:
        """Sets aside a call's input and up to `output_tokens` of output, fewer where only fewer fit.

        Raises:
            TroupeError: BUDGET_EXCEEDED.
        """
        allowed = min(output_tokens, self._output_room(input_tokens, price))
        if allowed < min(output_tokens, _MIN_OUTPUT_TOKENS):
            raise self._exceeded(input_tokens, output_tokens, price)
        reservation = Reservation(allowed, input_tokens + allowed, price.cost(input_tokens, allowed))
        self._take(reservation.tokens, reservation.cost_usd_micros)
        return reservation

    def settle(self, reservation: Reservation, used: Usage) -> None:
        """Takes what the call used instead of what was set aside for it."""
        tokens = used.input_tokens + used.output_tokens
        self._take(tokens - reservation.tokens, used.cost_usd_micros - reservation.cost_usd_micros)

    def _take(self, tokens: int, cost_usd_micros: int) -> None:
        if self._tokens is not None:
            self._tokens -= tokens
        if self._cost is not None:
            self._cost -= cost_usd_micros

    def _output_room(self, input_tokens: int, price: Price) -> int:
        """Tokens of output that fit; -1 when not even the input does."""
        room = 1 << 62
        if self._tokens is not None:
            room = min(room, self._tokens - input_tokens)
        if self._cost is not None:
            money = self._cost - price.cost(input_tokens, 0)
            if money < 0:
                return -1
            room = min(room, money * _MILLION // price.output) if price.output else room
        return max(room, -1)

    def _exceeded(self, input_tokens: int, output_tokens: int, price: Price) -> TroupeError:
        need = f"about {input_tokens} tokens in and {min(output_tokens, _MIN_OUTPUT_TOKENS)} or more out"
        if cost := price.cost(input_tokens, min(output_tokens, _MIN_OUTPUT_TOKENS)):
            need += f" ({cost} micro-USD)"
        left = []
        if self._tokens is not None:
            left.append(f"{max(self._tokens, 0)} tokens")
        if self._cost is not None:
            left.append(f"{max(self._cost, 0)} micro-USD")
        message = f"the next model call needs {need}, and {' and '.join(left)} of the task's budget are left"
        return TroupeError(ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, f"{message}; raise `task.budget` or ask for less")
