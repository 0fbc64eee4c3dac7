"""The agent `analyzer`: makes findings of passages."""

from collections.abc import Sequence
from typing import Final

from troupe.agents.builtin.analyzer.analysis import analyze
from troupe.agents.builtin.analyzer.handover import Handover, attach
from troupe.agents.builtin.evidence.numbering import Numbering
from troupe.agents.builtin.evidence.pooling import pool
from troupe.agents.runtime.context import AgentContext
from troupe.api.agent.v1.agent_service_pb2 import AgentDescriptor, DependencyOutput, ExecuteRequest
from troupe.api.common.v1.content_pb2 import Finding, Passage, StepOutput

MAX_PASSAGES: Final = 30
_CLOSEST: Final = 3
_NOTHING_GIVEN: Final = "The steps before this one brought no passages."


class Analyzer:
    """Asks the model what the passages say to the instruction, and keeps what can be found in them."""

    @property
    def descriptor(self) -> AgentDescriptor:
        return AgentDescriptor(
            name="analyzer",
            title="Analyzer",
            description=(
                "Makes findings, each with its evidence, of the passages of the steps that it depends on. Instruct it"
                " with the question that they shall answer; let it depend on one or more retriever steps."
            ),
            version="1",
        )

    async def execute(self, step: ExecuteRequest, context: AgentContext) -> StepOutput:
        """Findings, most relevant first."""
        question = " ".join(step.instruction.split())
        passages = pool([d.output.passages for d in step.dependencies], limit=MAX_PASSAGES)
        if not passages:
            return _output(question, [], [], _note(step.dependencies))
        context.progress("Reading 1 passage" if len(passages) == 1 else f"Reading {len(passages)} passages")
        findings = await analyze(question, passages, context)
        context.progress(_told(findings), fraction=1)
        return _output(question, findings, passages)


def _output(question: str, findings: Sequence[Finding], passages: Sequence[Passage], note: str = "") -> StepOutput:
    """The passages are those that the findings cite; without findings, the best, as the closest that there is."""
    numbering = Numbering()
    lines = [f"- {numbering.cited(finding)}" for finding in findings]
    cited = {citation.passage_id for citation in numbering.citations}
    output = StepOutput(
        text="\n".join(lines) or note or "The passages do not answer this.",
        findings=findings,
        citations=numbering.citations,
        passages=[p for p in passages if p.passage_id in cited] if findings else passages[:_CLOSEST],
    )
    attach(output, Handover(question, note))
    return output


def _note(dependencies: Sequence[DependencyOutput]) -> str:
    return next((d.output.text for d in dependencies if d.output.text), _NOTHING_GIVEN)


def _told(findings: Sequence[Finding]) -> str:
    if not findings:
        return "The passages do not answer this"
    return "Made 1 finding" if len(findings) == 1 else f"Made {len(findings)} findings"
