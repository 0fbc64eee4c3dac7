"""The agents, called as a worker calls them, on a real Milvus, Triton and inference."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import pytest

from tests.support.agents import agents_client, memory_client
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.api.common.v1.content_pb2 import StepOutput
from troupe.api.memory.v1 import memory_service_pb2 as memory_pb

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

PROJECT = "bridges"
DOCUMENTS: Mapping[str, str] = {
    "humber.md": """# The Humber Bridge

The Humber Bridge is a suspension bridge near Kingston upon Hull. It was **opened in 1981** by the Queen.

## Span

The main span of the Humber Bridge measures 1,410 metres. For seventeen years it was the longest of its kind.

| part | length |
|---|---|
| main span | 1,410 m |
| Barton side span | 530 m |

## Tolls

- The toll of the Humber Bridge for cars was halved in 2012.
- See below.
""",
    "forth.md": """# The Forth Bridge

The Forth Bridge is a cantilever railway bridge. It was opened in 1890 and carries two railway tracks.

## Paint

Painters finished a coat of the Forth Bridge in 2011 that shall last 25 years.
""",
    "bread.txt": "Knead the dough for ten minutes. Let it rest beneath a towel. Bake the bread at 230 degrees.\n",
    "arabic.md": "# جسر\n\nافتتح جسر الملك فهد في عام 1986. يربط الجسر بين السعودية والبحرين.\n",  # noqa: RUF001 - Arabic
}


@pytest.fixture
async def agents(agents_address: str) -> "AsyncIterator[AgentServiceAsyncStub]":
    """A client of agents whose memory holds the documents."""
    documents = [memory_pb.DocumentSource(uri=uri, content=text.encode()) for uri, text in DOCUMENTS.items()]
    async with memory_client(agents_address) as memory, agents_client(agents_address) as stub:
        _ = [_ async for _ in memory.Ingest(memory_pb.IngestRequest(project=PROJECT, documents=documents))]
        yield stub


def request(agent: str, instruction: str, *dependencies: pb.DependencyOutput, **fields: object) -> pb.ExecuteRequest:
    made = pb.ExecuteRequest(
        task_id="task",
        step_id=agent,
        agent=agent,
        attempt=1,
        idempotency_key=f"task/{agent}",
        project=PROJECT,
        instruction=instruction,
        task_input=instruction,
        dependencies=dependencies,
    )
    made.MergeFrom(pb.ExecuteRequest(**fields))  # type: ignore[arg-type] # checked by protobuf
    return made


async def execute(stub: "AgentServiceAsyncStub", one: pb.ExecuteRequest) -> tuple[StepOutput, list[pb.ExecuteResponse]]:
    events = [event async for event in stub.Execute(one, timeout=30)]
    assert [event.WhichOneof("event") for event in events].count("output") == 1
    return events[-1].output, events


async def answer(stub: "AgentServiceAsyncStub", question: str) -> tuple[StepOutput, list[pb.ExecuteResponse]]:
    """What a worker does for one question."""
    found, _ = await execute(stub, request("retriever", question))
    retrieved = pb.DependencyOutput(step_id="retrieve", agent="retriever", title="Find", output=found)
    findings, _ = await execute(stub, request("analyzer", question, retrieved))
    analyzed = pb.DependencyOutput(step_id="analyze", agent="analyzer", title=f"Analyze: {question}", output=findings)
    return await execute(stub, request("writer", question, analyzed))


def check_citations(output: StepOutput) -> None:
    """Each citation opens at its quote in the file, and each is used."""
    for citation in output.citations:
        text = DOCUMENTS[citation.document_uri]
        assert text[citation.start_offset : citation.end_offset] == citation.quote != ""
    body = output.text.partition("## Sources")[0]
    numbers = list(dict.fromkeys(int(number) for number in re.findall(r"\[(\d+)\]", body)))
    assert numbers == [citation.number for citation in output.citations]


async def test_the_agents_describe_themselves(agents: "AgentServiceAsyncStub") -> None:
    reply = await agents.Describe(pb.DescribeRequest())
    assert {agent.name: list(agent.tools) for agent in reply.agents} == {
        "retriever": ["memory_search"],
        "analyzer": [],
        "writer": [],
    }
    assert all(agent.max_concurrency and agent.description for agent in reply.agents)


async def test_a_question_is_answered_with_citations_that_open(agents: "AgentServiceAsyncStub") -> None:
    output, events = await answer(agents, "What is known about the Humber Bridge and its main span?")
    check_citations(output)
    assert len({(c.document_uri, c.start_offset) for c in output.citations}) >= 3
    assert "The main span of the Humber Bridge measures 1,410 metres." in output.text
    assert "".join(event.text_delta.text for event in events) == output.text
    assert "Knead" not in output.text
    assert "See below" not in output.text
    assert "**" not in output.text


async def test_the_answer_to_a_question_comes_first(agents: "AgentServiceAsyncStub") -> None:
    output, _ = await answer(agents, "When was the Forth Bridge opened?")
    check_citations(output)
    assert "1890" in output.text.split("\n\n")[1]


async def test_right_to_left_text_is_cited_exactly(agents: "AgentServiceAsyncStub") -> None:
    output, _ = await answer(agents, "متى افتتح جسر الملك فهد؟")
    check_citations(output)
    assert "1986" in output.text


@pytest.mark.parametrize("question", ["Who is the chairman of the railway union?", "How do I configure LDAP?"])
async def test_what_is_not_answered_is_said_so(agents: "AgentServiceAsyncStub", question: str) -> None:
    output, _ = await answer(agents, question)
    check_citations(output)
    assert output.text.split("\n\n")[1].strip() == "The documents do not answer this question."


async def test_an_empty_memory_is_said_so(agents: "AgentServiceAsyncStub") -> None:
    output, events = await execute(agents, request("retriever", "Anything?", project="empty"))
    assert output.text == "The memory of project `empty` holds no documents."
    assert [event.tool_finished.summary for event in events if event.HasField("tool_finished")] == ["nothing found"]
