"""What passages say about a question: asked of the model, checked against the passages."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from troupe.agents.builtin.analyzer.support import Supported, read_answer, supported, texts_to_compare
from troupe.agents.builtin.evidence.citing import overlaps
from troupe.agents.builtin.evidence.prompts import analysis_messages, source_of
from troupe.agents.builtin.evidence.similarity import Vector, cosine, vectors_of
from troupe.agents.builtin.evidence.wording import share
from troupe.agents.runtime.context import AgentContext
from troupe.api.common.v1.content_pb2 import Finding, Passage
from troupe.core.text.blocks import Kind

_MAX_OUTPUT_TOKENS: Final = 600
_MIN_SHARE_OF_BEST: Final = 0.45
_MEANING_WEIGHT: Final = 0.7
_SAME: Final = 0.95
_ASKS_FOR_ROWS: Final = re.compile(
    r"\b(?:tables?|rows?|columns?|figures?|numbers?|values?|versions?|defaults?|benchmarks?|measure\w*|compare\w*"
    r"|how (?:many|much|long|fast|often|large|big))\b",
    re.IGNORECASE,
)


async def analyze(question: str, passages: Sequence[Passage], context: AgentContext) -> list[Finding]:
    """The findings, most relevant first; empty when the passages do not answer."""
    if not passages:
        return []
    numbered = dict(enumerate(passages, start=1))
    messages = analysis_messages(question, [source_of(number, passage) for number, passage in numbered.items()])
    said = await context.complete(messages, max_output_tokens=_MAX_OUTPUT_TOKENS)
    reading = read_answer(said.text, numbered)
    vectors = await vectors_of(context, texts_to_compare(reading, numbered))

    def similar(one: str, other: str) -> float:
        return cosine(vectors[one], vectors[other])

    found = _without_rows(question, supported(reading, numbered, similar))
    if not found:
        return []
    vectors = await vectors_of(context, [question, *(s.text for s in found)])
    return _findings(question, _distinct(found, vectors), vectors)


def _without_rows(question: str, found: Sequence[Supported]) -> list[Supported]:
    """Rows of tables stand only where they are asked for, or where the model thinks most of one."""
    if not found or found[0].kind is Kind.ROW or _ASKS_FOR_ROWS.search(question):
        return list(found)
    return [s for s in found if s.kind is not Kind.ROW]


def _distinct(found: Sequence[Supported], vectors: Mapping[str, Vector]) -> list[Supported]:
    """Without what an earlier statement says already."""
    kept: list[Supported] = []
    for statement in found:
        if not any(_same(statement, other, vectors) for other in kept):
            kept.append(statement)
    return kept


def _same(one: Supported, other: Supported, vectors: Mapping[str, Vector]) -> bool:
    return overlaps(one.evidence[0], other.evidence[0]) or cosine(vectors[one.text], vectors[other.text]) > _SAME


def _relevance(question: str, text: str, vectors: Mapping[str, Vector]) -> float:
    meaning = cosine(vectors[question], vectors[text])
    return _MEANING_WEIGHT * meaning + (1 - _MEANING_WEIGHT) * share(question, text)


def _findings(question: str, found: Sequence[Supported], vectors: Mapping[str, Vector]) -> list[Finding]:
    """The model's first statement answers best, whatever the vectors say of the others."""
    rated = [_relevance(question, s.text, vectors) for s in found]
    best = rated[0] = max(rated)
    findings = [
        Finding(statement=s.text, topic=question, evidence=s.evidence, relevance=round(relevance, 4))
        for s, relevance in zip(found, rated, strict=True)
        if relevance >= _MIN_SHARE_OF_BEST * best
    ]
    return sorted(findings, key=lambda finding: -finding.relevance)
