"""The facts that people ask for first are short: a number, a price, a row of a table. Through the whole stack."""

from collections.abc import AsyncIterator

import pytest

from tests.support.stack import Stack
from troupe.api.memory.v1.memory_service_pb2 import DocumentSource, IngestRequest
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from troupe.api.orchestrator.v1.task_pb2 import TaskSpec
from troupe.client import ClientSettings, TroupeClient
from troupe.core.channels import open_channel

FACTS = """\
The gateway forwards calls of browsers to the orchestrator without reading their messages.

The port is 8080. Behind it nothing is kept in memory.

It costs 5 euros. Refunds take 10 days. Redis is required.

| plan | price | seats |
|---|---|---|
| basic | 5 euros | |
| pro | 20 euros | 7 |

Day | Opens
Friday | 9:30
Sunday | 11:00

- Phone: 555 0199

retries = 6
timeout: 45 s

Q: Which region does it run in?
A: Frankfurt.

## Which database is used?

PostgreSQL

Backoff
: exponential
"""


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[TroupeClient]:
    source = DocumentSource(
        uri="test://facts", content=FACTS.encode(), media_type="text/markdown", metadata={"about": "facts"}
    )
    async with open_channel(stack.target) as channel:
        async for _ in MemoryServiceStub(channel).Ingest(IngestRequest(documents=[source])):
            pass
    async with TroupeClient(settings=ClientSettings(target=stack.target)) as client:
        yield client


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What is the port?", "8080"),
        ("How much does it cost?", "5 euros"),
        ("How long do refunds take?", "10 days"),
        ("What is the price of the pro plan?", "20 euros"),
        ("How many seats does the pro plan have?", "7"),
        ("When does it open on Sunday?", "11:00"),
        ("What is the phone number?", "555 0199"),
        ("How many retries are made?", "6"),
        ("What is the timeout?", "45 s"),
        ("Which region does it run in?", "Frankfurt"),
        ("Which database is used?", "PostgreSQL"),
        ("Which backoff is used?", "Exponential"),
    ],
)
async def test_a_short_fact_is_the_answer(client: TroupeClient, question: str, fact: str) -> None:
    assert fact in await answer(client, question)


@pytest.mark.parametrize(
    "question", ["Who founded the company?", "What colour is the logo?", "How do I reset a password?"]
)
async def test_what_stands_nowhere_is_not_answered(client: TroupeClient, question: str) -> None:
    assert "do not answer this question" in await answer(client, question)


async def answer(client: TroupeClient, question: str) -> str:
    """The direct answer: what stands between the report's title and its first section."""
    text = ""
    async for event in client.run(TaskSpec(input=question, memory_filter={"about": "facts"})):
        if event.WhichOneof("event") == "task_completed":
            text = event.task_completed.output.text
    return text.partition("\n\n")[2].partition("\n\n## ")[0]
