"""Which findings answer a task directly. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from agents.builtin.topics import Topic, is_comparison
from troupe.api.common.v1.content_pb2 import Finding

_MAX_SENTENCES: Final = 4
_MAX_CHARACTERS: Final = 700
_OF_ONE_TOPIC: Final = {1: 1, 2: 1, 3: 2, 4: 2}
_MOST_OF_ONE_TOPIC: Final = 3


def direct_answer(topics: Sequence[Topic]) -> list[Finding]:
    """A few findings: the best of the only topic, or one of each."""
    answered = [topic for topic in topics if topic.answered]
    if not answered:
        return []
    if len(answered) == 1:
        findings = answered[0].findings
        return _fitting(findings[: _OF_ONE_TOPIC.get(len(findings), _MOST_OF_ONE_TOPIC)])
    # What two things share is the answer to how they compare.
    first = [t for t in answered[::-1] if t is topics[-1]] if is_comparison(topics) else []
    ordered = first + [topic for topic in answered if topic not in first]
    return _fitting(list(_best_of_each(ordered)))


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
