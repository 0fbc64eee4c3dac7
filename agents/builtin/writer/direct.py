"""Which findings answer a task directly. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from troupe.agents.builtin.writer.topics import Topic, is_comparison
from troupe.api.common.v1.content_pb2 import Finding

_MAX_SENTENCES: Final = 4
_MAX_CHARACTERS: Final = 700
_OF_ONE_TOPIC: Final = {1: 1, 2: 1, 3: 2, 4: 2}
_MOST_OF_ONE_TOPIC: Final = 3
_SHARE_OF_BEST: Final = 0.8
_FITTING_BEGINNING: Final = 0.1
_POINTS_BACK: Final = re.compile(
    r"(?:it|its|this|that|these|those|they|their|however|also|in addition|but|so|then|there)\b", re.IGNORECASE
)


def direct_answer(topics: Sequence[Topic]) -> list[Finding]:
    """A few findings: the best of the only topic, or one of each."""
    answered = [topic for topic in topics if topic.answered]
    if not answered:
        return []
    if len(answered) == 1:
        return _of_one(answered[0])
    # What two things share is the answer to how they compare.
    first = [t for t in answered[::-1] if t is topics[-1]] if is_comparison(topics) else []
    ordered = first + [topic for topic in answered if topic not in first]
    return _fitting(list(_best_of_each(ordered)))


def _of_one(topic: Topic) -> list[Finding]:
    """The best finding, and others that are about as good and read well alone."""
    best, *others = topic.findings
    wanted = _OF_ONE_TOPIC.get(len(topic.findings), _MOST_OF_ONE_TOPIC)
    rated = [(_fitness(finding, topic.question), finding) for finding in others]
    least = _SHARE_OF_BEST * _fitness(best, topic.question)
    good = sorted((pair for pair in rated if pair[0] >= least), key=lambda pair: -pair[0])
    return _fitting([best, *(finding for _, finding in good)][:wanted])


def _fitness(finding: Finding, question: str) -> float:
    """Its relevance; more when it tells what is asked about, less when it points back."""
    words = finding.statement.split()
    if _POINTS_BACK.match(finding.statement):
        return finding.relevance - _FITTING_BEGINNING
    asked = question.casefold()
    named = any(len(word) > 3 and word.strip("`*,.:;").casefold() in asked for word in words[:2])
    return finding.relevance + (_FITTING_BEGINNING if named and asked.startswith("what") else 0)


def _best_of_each(topics: Sequence[Topic]) -> Iterator[Finding]:
    for topic in topics[:_MAX_SENTENCES]:
        yield topic.findings[0]


def _fitting(findings: Sequence[Finding]) -> list[Finding]:
    """As many as make a short paragraph, at least one."""
    kept: list[Finding] = []
    for finding in findings:
        if kept and sum(len(k.statement) for k in kept) + len(finding.statement) > _MAX_CHARACTERS:
            break
        kept.append(finding)
    return kept
