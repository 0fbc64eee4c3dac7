"""What a report is made of: the questions of its analyses with what was found for each. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import regex

from troupe.agents.builtin.evidence.citing import overlaps
from troupe.api.common.v1.content_pb2 import Finding, Passage

_MAX_FINDINGS: Final = 10
_MAX_FINDINGS_OF_MANY: Final = 5
_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}_]+")


@dataclass(frozen=True, slots=True)
class Topic:
    """A question of a report. `closest` stands in for findings where there are none; `note` says why."""

    heading: str
    question: str
    findings: Sequence[Finding] = ()
    closest: Sequence[Finding] = ()
    passages: Sequence[Passage] = ()
    note: str = ""
    analyzed: bool = False

    @property
    def answered(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)


def is_comparison(topics: Sequence[Topic]) -> bool:
    """Whether the topics are two sides and what they share."""
    return len(topics) == 3 and topics[2].heading == f"{topics[0].heading} and {topics[1].heading}"


def arranged(topics: Sequence[Topic]) -> list[Topic]:
    """The topics with each finding in one place: where it is most relevant, in a comparison that of its side."""
    if is_comparison(topics):
        topics = _sides(topics)
    most = _MAX_FINDINGS if len(topics) == 1 else _MAX_FINDINGS_OF_MANY
    seen: list[Finding] = []
    kept: list[Topic] = []
    for topic in topics:
        new: list[Finding] = []
        for finding in topic.findings:
            if len(new) < most and not _known(finding, seen + new) and not _fits_better(finding, topic, topics):
                new.append(finding)
        # A question whose answer stands above is answered again: an empty section would say that it is not.
        kept.append(replace(topic, findings=new or topic.findings[:1]))
        seen.extend(new)
    return kept


def _sides(topics: Sequence[Topic]) -> list[Topic]:
    first, second, _ = topics
    places: tuple[list[Finding], list[Finding], list[Finding]] = ([], [], [])
    for home, topic in enumerate(topics):
        for finding in topic.findings:
            names_first, names_second = (_names(finding, t.heading) for t in (first, second))
            if names_first and names_second:
                place = 2
            elif names_first or names_second:
                place = 0 if names_first else 1
            else:
                place = home
            places[place].append(finding)
    return [replace(topic, findings=_by_relevance(found)) for topic, found in zip(topics, places, strict=True)]


def _names(finding: Finding, name: str) -> bool:
    words = {word.casefold() for word in _WORD.findall(finding.statement)}
    wanted = [word.casefold() for word in _WORD.findall(name)]
    return all(word in words or word + "s" in words or word.removesuffix("s") in words for word in wanted)


def _by_relevance(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: -finding.relevance)


def _fits_better(finding: Finding, home: Topic, topics: Sequence[Topic]) -> bool:
    """Whether another topic has the same finding with more relevance."""
    return any(
        other.relevance > finding.relevance and _known(finding, [other])
        for topic in topics
        if topic is not home
        for other in topic.findings
    )


def _known(finding: Finding, seen: Sequence[Finding]) -> bool:
    return any(
        other.statement.casefold() == finding.statement.casefold() or overlaps(other.evidence[0], finding.evidence[0])
        for other in seen
    )
