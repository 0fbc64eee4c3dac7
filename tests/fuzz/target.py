"""What is fuzzed, and what it promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


class BrokenPromiseError(AssertionError):
    """What was checked does not hold."""


@dataclass(frozen=True, slots=True)
class Target:
    """A part of the wire."""

    name: str
    promise: str
    """What `check` holds it to, besides linear time and raising nothing that is not documented."""
    seeds: Callable[[Random], Sequence[bytes]]
    """Inputs that the grammar makes, mostly valid; not empty."""
    tokens: Sequence[bytes]
    """Bytes that mean something here, for mutations to put anywhere."""
    check: Callable[[bytes, int], None]
    """Takes an input and a place in it to cut at; raises when a promise is broken."""


def hold(condition: object, message: str) -> None:
    """Fails the input unless the condition holds."""
    if not condition:
        raise BrokenPromiseError(message)


def equal(got: object, expected: object, message: str) -> None:
    """Fails the input unless both are the same."""
    if got != expected:
        raise BrokenPromiseError(f"{message}: {str(got)[:400]} is not {str(expected)[:400]}")


def cut(data: bytes, at: int) -> list[bytes]:
    """The data in two pieces; byte by byte where it is short and the cut is behind the first."""
    if at == 1 and len(data) < 64:
        return [data[i : i + 1] for i in range(len(data))]
    return [data[:at], data[at:]]
