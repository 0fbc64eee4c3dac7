"""From a prompt to an answer in pieces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .prompt import parse_prompt
from .relevance import Vectors, candidates, score
from .selection import Statement, select

NO_ANSWER = "The sources do not answer this question."
TOKENS_A_STATEMENT = 40
MAX_STATEMENTS = 10


class TextEncoder(Protocol):
    """What the answer needs of a model."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1."""

    def count_tokens(self, text: str) -> int:
        """The tokens of a text."""


@dataclass(frozen=True)
class Piece:
    """A piece of the answer, to be appended to those before it; `finish_reason` is set on the last."""

    text: str
    tokens: int
    finish_reason: str | None = None


def answer(
    prompt_text: str, *, max_tokens: int, stop: Sequence[str], encoder: TextEncoder, cancelled: Callable[[], bool]
) -> Iterator[Piece]:
    """The pieces of the answer, a sentence each; ends early when `cancelled`."""
    texts = _texts(prompt_text, max_tokens, encoder, cancelled)
    written = ""
    left = max_tokens
    for index, text in enumerate(texts):
        if cancelled():
            return
        kept = _before_stop(written, text, stop)
        fitting = _fitting(kept, left, encoder)
        tokens = encoder.count_tokens(fitting)
        if fitting != kept:
            yield Piece(fitting, tokens, "length")
            return
        last = kept != text or index == len(texts) - 1
        yield Piece(kept, tokens, "stop" if last else None)
        if last:
            return
        written += text
        left -= tokens


def _before_stop(written: str, text: str, stop: Sequence[str]) -> str:
    """What of `text` may follow `written` before a stop text begins."""
    found = [at for word in stop if word and (at := (written + text).find(word)) >= 0]
    return text[: max(0, min(found) - len(written))] if found else text


def _fitting(text: str, max_tokens: int, encoder: TextEncoder) -> str:
    """The text, cut before the first word that is one too many."""
    while text and encoder.count_tokens(text) > max_tokens:
        text = text.rstrip().rpartition(" ")[0]
    return text


def _texts(prompt_text: str, max_tokens: int, encoder: TextEncoder, cancelled: Callable[[], bool]) -> list[str]:
    prompt = parse_prompt(prompt_text)
    found = candidates(prompt.sources) if prompt.question else []
    if not found or cancelled():
        return [NO_ANSWER]
    scored = score(prompt.question, found, encoder.encode)
    statements = select(
        scored,
        limit=min(MAX_STATEMENTS, max(1, max_tokens // TOKENS_A_STATEMENT)),
        cost=lambda text: encoder.count_tokens(text) + 3,
        budget=max_tokens,
    )
    return [(" " if i else "") + _cited(statement) for i, statement in enumerate(statements)] or [NO_ANSWER]


def _cited(statement: Statement) -> str:
    return statement.text + " " + "".join(f"[{number}]" for number in statement.citations)
