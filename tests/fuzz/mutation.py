"""Inputs without end: what the grammar made, as it is or with a few things changed."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

_INTERESTING: Final = [bytes((byte,)) for byte in (0, 1, 9, 10, 13, 32, 44, 58, 59, 61, 64, 127, 128, 255)]
_GROWN_ONE_IN: Final = 4000
_GROWN_BYTES: Final = (1 << 10, 4 << 10, 16 << 10, 64 << 10)

_Mutation = Callable[[bytes, "Mutator"], bytes]


class Mutator:
    """Draws inputs; the same seed draws the same ones."""

    def __init__(self, corpus: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> None:
        self._corpus = corpus
        self._tokens = [*tokens, *_INTERESTING]
        self.random = random.random  # several times as fast as the methods that are built on it

    def inputs(self, count: int) -> Iterator[tuple[bytes, int]]:
        """So many inputs, each with a place to cut it at."""
        draw = self.random
        for _ in range(count):
            data = self.seed()
            rounds = int(draw() * 4)  # a quarter stays as it is
            for _ in range(rounds):
                data = _MUTATIONS[int(draw() * len(_MUTATIONS))](data, self)
            if draw() * _GROWN_ONE_IN < 1:
                data = self._grown(data)
            yield data, int(draw() * (len(data) + 1))

    def seed(self) -> bytes:
        """An input of the corpus."""
        return self._corpus[int(self.random() * len(self._corpus))]

    def token(self) -> bytes:
        """Bytes that mean something."""
        return self._tokens[int(self.random() * len(self._tokens))]

    def place(self, data: bytes) -> int:
        """A place in the data, its end included."""
        return int(self.random() * (len(data) + 1))

    def _grown(self, data: bytes) -> bytes:
        """A part of it repeated until it is long: what takes more than linear time shows there."""
        at = self.place(data)
        unit = self.token() if self.random() < 0.5 else data[at : at + 1 + int(self.random() * 24)]
        size = _GROWN_BYTES[int(self.random() * len(_GROWN_BYTES))]
        return data[:at] + unit * (size // max(1, len(unit))) + data[at:]


def _set_byte(data: bytes, mutator: Mutator) -> bytes:
    at = mutator.place(data)
    return data[:at] + bytes((int(mutator.random() * 256),)) + data[at + 1 :]


def _flip_bit(data: bytes, mutator: Mutator) -> bytes:
    if not data:
        return data
    at = int(mutator.random() * len(data))
    return data[:at] + bytes((data[at] ^ 1 << int(mutator.random() * 8),)) + data[at + 1 :]


def _insert_token(data: bytes, mutator: Mutator) -> bytes:
    at = mutator.place(data)
    return data[:at] + mutator.token() + data[at:]


def _overwrite_with_token(data: bytes, mutator: Mutator) -> bytes:
    at, token = mutator.place(data), mutator.token()
    return data[:at] + token + data[at + len(token) :]


def _delete(data: bytes, mutator: Mutator) -> bytes:
    at = mutator.place(data)
    return data[:at] + data[at + 1 + int(mutator.random() * 8) :]


def _repeat(data: bytes, mutator: Mutator) -> bytes:
    at = mutator.place(data)
    unit = data[at : at + 1 + int(mutator.random() * 16)]
    return data[:at] + unit * int(1 + mutator.random() * 4) + data[at:]


def _splice(data: bytes, mutator: Mutator) -> bytes:
    other = mutator.seed()
    return data[: mutator.place(data)] + other[mutator.place(other) :]


def _truncate(data: bytes, mutator: Mutator) -> bytes:
    return data[: mutator.place(data)]


_MUTATIONS: Final[Sequence[_Mutation]] = (
    _set_byte,
    _flip_bit,
    _insert_token,
    _insert_token,
    _overwrite_with_token,
    _delete,
    _repeat,
    _splice,
    _truncate,
)
