"""Reads what a model wrote: sentences, each with the numbers of its sources. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from troupe.agents.builtin.evidence.prompts import NO_ANSWER
from troupe.agents.builtin.evidence.sentences import sentences

_GROUP: Final = re.compile(
    r"[ \t]*\[\d{1,6}(?:\s*[,;]\s*\d{1,6})*\](?:[ \t]*[,;]?[ \t]*\[\d{1,6}(?:\s*[,;]\s*\d{1,6})*\])*"
)
_STOP: Final = re.compile(r"[ \t]*[.!?。！？]+")
_MAX_SENTENCES: Final = 2
_MAX_GROUPS: Final = 6

Accept = Callable[[str, Sequence[int]], bool]
"""Whether a text is what the sources of these numbers say word by word."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What was written, and the numbers of the sources that it names, in order."""

    text: str
    numbers: tuple[int, ...]


def statements(answer: str, *, verbatim: Accept = lambda _text, _numbers: False) -> Iterator[Statement]:
    """The statements of an answer; text without numbers behind it is left out.

    A quoted sentence may hold bracketed numbers itself. `verbatim` recognises quotations, so that they are not cut
    at such a number.
    """
    if answer.strip() == NO_ANSWER:
        return
    groups = list(_GROUP.finditer(answer))
    start = index = 0
    while index < len(groups):
        found, used = _quotation(answer, start, groups[index : index + _MAX_GROUPS], verbatim)
        if found is None:
            used = 1
            found = _written(answer, start, groups[index])
        start = groups[index + used - 1].end()
        if (stop := _STOP.match(answer, start)) is not None:
            start = stop.end()
        index += used
        if found.text:
            yield found


def _quotation(
    answer: str, start: int, groups: Sequence[re.Match[str]], verbatim: Accept
) -> tuple[Statement | None, int]:
    for count in range(len(groups), 0, -1):  # the longest: a part of a quotation stands in its source too
        group = groups[count - 1]
        text, numbers = answer[start : group.start()].strip(), _numbers(group)
        if text and verbatim(text, numbers):
            return Statement(text, numbers), count
    return None, 0


def _written(answer: str, start: int, group: re.Match[str]) -> Statement:
    text = answer[start : group.start()].strip(" \t\r\n,;")
    spans = sentences(text + "\n")
    if len(spans) > _MAX_SENTENCES:
        text = text[spans[-_MAX_SENTENCES].start :]
    stop = _STOP.match(answer, group.end())
    return Statement(text + (stop[0].strip() if stop else ""), _numbers(group))


def _numbers(group: re.Match[str]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(number) for number in re.findall(r"\d+", group[0])))
