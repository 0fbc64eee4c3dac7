"""The agent `writer`: composes the report."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from troupe.agents.builtin.analyzer.analysis import analyze
from troupe.agents.builtin.analyzer.handover import Handover, read
from troupe.agents.builtin.evidence.answers import statements
from troupe.agents.builtin.evidence.numbering import Numbering
from troupe.agents.builtin.evidence.pooling import pool
from troupe.agents.builtin.evidence.prompts import NO_ANSWER, Source, answer_messages
from troupe.agents.builtin.evidence.readable import plain
from troupe.agents.builtin.writer import report
from troupe.agents.builtin.writer.closest import closest
from troupe.agents.builtin.writer.direct import direct_answer
from troupe.agents.builtin.writer.topics import Topic, arranged
from troupe.agents.runtime.context import AgentContext
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, DependencyOutput, ExecuteRequest
from troupe.api.common.v1.content_pb2 import Finding, StepOutput

_TITLE_PREFIX: Final = "Analyze: "
_MAX_ANSWER_TOKENS: Final = 400
_MAX_PASSAGES: Final = 30


class Writer:
    """Puts a direct answer first, then the findings by topic, then the sources of all."""

    @property
    def descriptor(self) -> AgentDescriptor:
        return AgentDescriptor(
            name="writer",
            title="Writer",
            description=(
                "Composes the final report, in Markdown with citations, of the findings of the steps that it depends"
                " on. Instruct it with the request that the report answers; let it depend on all analyzer steps, or"
                " directly on retriever steps."
            ),
            version="1",
        )

    async def execute(self, step: ExecuteRequest, context: AgentContext) -> StepOutput:
        """The report, streamed while it is written."""
        context.progress("Composing the report")
        topics = arranged([await _complete(topic, context) for topic in _topics(step)])
        draft = _Draft(context)
        draft.write(report.title(step.task_input or step.instruction) + "\n\n")
        said = await self._answer(step, context, topics, draft)
        for piece in report.sections(topics, said, draft.numbering):
            draft.write(piece)
        for piece in report.sources(draft.numbering):
            draft.write(piece)
        draft.write("\n")
        context.progress("Report written", fraction=1)
        return StepOutput(text=draft.text, media_type="text/markdown", citations=draft.numbering.citations)

    async def _answer(
        self, step: ExecuteRequest, context: AgentContext, topics: Sequence[Topic], draft: "_Draft"
    ) -> list[Finding]:
        """Writes the direct answer; returns the findings that it says word by word."""
        findings = [finding for topic in topics for finding in topic.findings]
        said: list[Finding] = []
        written = 0
        if findings and not await context.is_extractive():
            async for sentence in _composed(step.instruction, findings, context):
                draft.write((" " if written else "") + draft.numbering.cited(sentence))
                written += 1
        if not written:
            said = direct_answer(topics)
            for finding in said:
                draft.write((" " if written else "") + draft.numbering.cited(finding))
                written += 1
        if missing := report.unanswered(topics):
            draft.write((" " if written else "") + missing)
        return said


class _Draft:
    """The text so far; what is written is told at once."""

    def __init__(self, context: AgentContext) -> None:
        self.numbering = Numbering()
        self.text = ""
        self._context = context

    def write(self, text: str) -> None:
        self.text += text
        self._context.text_delta(text)


async def _composed(question: str, findings: Sequence[Finding], context: AgentContext) -> AsyncIterator[Finding]:
    """The answer that a model makes of the findings, a sentence at a time, each with its findings' evidence."""
    numbered = [Source(n, finding.topic, finding.statement) for n, finding in enumerate(findings, start=1)]
    told, text = 0, ""
    messages = answer_messages(question, numbered)
    async with aclosing(context.generate(messages, max_output_tokens=_MAX_ANSWER_TOKENS)) as parts:
        async for part in parts:
            text += part if isinstance(part, str) else ""
            # The last statement may still get a number.
            for sentence in _sentences(text, findings)[told:-1]:
                told += 1
                yield sentence
    for sentence in _sentences(text, findings)[told:]:
        yield sentence


def _sentences(text: str, findings: Sequence[Finding]) -> list[Finding]:
    """What can be traced to findings."""
    if text.strip() == NO_ANSWER:
        return []
    traced = []
    for statement in statements(text):
        cited = [findings[n - 1] for n in statement.numbers if 1 <= n <= len(findings)]
        if cited:
            evidence = [citation for finding in cited for citation in finding.evidence]
            traced.append(Finding(statement=plain(statement.text), evidence=evidence))
    return traced


def _topics(step: ExecuteRequest) -> list[Topic]:
    """One a dependency that analyzed; passages that nobody analyzed make one together."""
    analyzed = [d for d in step.dependencies if d.output.findings or read(d.output).question]
    raw = [d for d in step.dependencies if d not in analyzed]
    topics = [_topic(dependency, step) for dependency in analyzed]
    if raw or not topics:
        passages = pool([d.output.passages for d in raw], limit=_MAX_PASSAGES)
        if passages or not topics:
            note = next((d.output.text for d in raw if d.output.text), "The steps before this one brought nothing.")
            question = " ".join(step.instruction.split())
            topics.append(Topic(question, question, passages=passages, note="" if passages else note))
    return topics


def _topic(dependency: DependencyOutput, step: ExecuteRequest) -> Topic:
    handover: Handover = read(dependency.output)
    findings = list(dependency.output.findings)
    question = handover.question or findings[0].topic or " ".join(step.instruction.split())
    title = dependency.title.removeprefix(_TITLE_PREFIX)
    cut = not title or title.endswith("…")
    passages = list(dependency.output.passages)
    heading = question if cut else title
    return Topic(heading, question, findings, passages=passages, note=handover.note, analyzed=True)


async def _complete(topic: Topic, context: AgentContext) -> Topic:
    """Analyzes what nobody has analyzed, and looks for what is closest where there is no finding."""
    if topic.findings or not topic.passages:
        return topic
    if not topic.analyzed:
        topic = replace(topic, findings=await analyze(topic.question, topic.passages, context))
    if topic.findings:
        return topic
    return replace(topic, closest=await closest(topic.question, topic.passages, context))
