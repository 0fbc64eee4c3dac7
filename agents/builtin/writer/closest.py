"""What comes closest to a question that is not answered."""

from collections.abc import Sequence
from typing import Final

from troupe.agents.builtin.evidence.citing import cite
from troupe.agents.builtin.evidence.readable import readable
from troupe.agents.builtin.evidence.sentences import sentences
from troupe.agents.builtin.evidence.similarity import cosine, vectors_of
from troupe.agents.builtin.evidence.worth import says_something
from troupe.agents.runtime.context import AgentContext
from troupe.api.common.v1.content_pb2 import Finding, Passage

_MAX_PASSAGES: Final = 3
_MAX_FINDINGS: Final = 2
_MIN_LIKENESS: Final = 0.35


async def closest(question: str, passages: Sequence[Passage], context: AgentContext) -> list[Finding]:
    """The sentences that are most like the question, at most one a passage; empty when none is like it."""
    found = [
        Finding(statement=text, topic=question, evidence=[cite(passage, span)])
        for passage in passages[:_MAX_PASSAGES]
        for span in sentences(passage.text)
        if says_something(text := readable(passage.text[span.start : span.end]))
    ]
    if not found:
        return []
    vectors = await vectors_of(context, [question, *(finding.statement for finding in found)])
    for finding in found:
        finding.relevance = round(cosine(vectors[question], vectors[finding.statement]), 4)
    best: dict[str, Finding] = {}
    for finding in sorted(found, key=lambda f: -f.relevance):
        best.setdefault(finding.evidence[0].passage_id, finding)
    return [finding for finding in best.values() if finding.relevance >= _MIN_LIKENESS][:_MAX_FINDINGS]
