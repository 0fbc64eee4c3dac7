"""Errors with long, odd and many parts, made from a seed, as agents, models and hostile requests bring them about."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Final

import grpc

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError

_ALPHABETS: Final = (
    "a",
    "ab ",
    "%",
    "é",
    "\u20ac",
    "\U0001f600",
    "\x00\n\r\t",
    "\ud83d",
    "\x7f\x1b[2J",
    "\u202e\ufeff",
)
_LENGTHS: Final = (0, 1, 20, 300, 3_000, 40_000)
_COUNTS: Final = (0, 0, 1, 3, 19, 20, 21, 400)
_DELAYS: Final = (None, timedelta(), timedelta(milliseconds=7), timedelta(days=-1), timedelta.max, timedelta.min)
_REASONS: Final = (*ErrorReason.values(), 9_999)


def wild_error(seed: int) -> TroupeError:
    """An error; equal seeds give equal ones."""
    random = Random(seed)

    def text() -> str:
        return _text(random, random.choice(_LENGTHS))

    def short() -> str:
        return _text(random, random.choice((1, 30, 600)))

    return TroupeError(
        ErrorReason.ValueType(random.choice(_REASONS)),
        text(),
        violations=[FieldViolation(short(), short()) for _ in range(random.choice(_COUNTS))],
        metadata=_metadata(random, short),
        retry_delay=random.choice(_DELAYS),
        code=random.choice(list(grpc.StatusCode)),
        retryable=random.choice((None, True, False)),
    )


def _text(random: Random, length: int) -> str:
    pattern = "".join(random.choices(_ALPHABETS, k=random.randint(1, 3))) + random.choice("xyz")
    return (pattern * (length // len(pattern) + 1))[:length]


def _metadata(random: Random, text: Callable[[], str]) -> dict[str, str]:
    return {f"{text()}{n}": text() for n in range(random.choice(_COUNTS))} | random.choice(({}, {"subject": text()}))
