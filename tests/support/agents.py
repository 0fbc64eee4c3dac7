"""Agents for tests: fakes of their ports, and the real process on real servers."""

import asyncio
import hashlib
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.inference import until_health
from tests.support.milvus import MilvusServer
from tests.support.processes import running
from troupe.agents.runtime.agent import Agent
from troupe.agents.runtime.runtime import Runtime
from troupe.agents.settings import ExecutionSettings
from troupe.agents.tools.memory_search import MemorySearchTool
from troupe.agents.tools.registry import ToolRegistry
from troupe.agents.tools.tool import Tool
from troupe.api.agent.v1.agent_service_pb2 import DependencyOutput, ExecuteRequest, ExecuteResponse
from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from troupe.api.common.v1.content_pb2 import Passage, StepOutput
from troupe.api.common.v1.usage_pb2 import Usage
from troupe.api.inference.v1.inference_service_pb2 import (
    Embedding,
    EmbedRequest,
    EmbedResponse,
    FinishReason,
    GenerateFinish,
    GenerateRequest,
    GenerateResponse,
    Model,
    ModelKind,
    ToolCall,
)
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from troupe.core.channels import open_channel
from troupe.local.launch import Launch, free_port

if TYPE_CHECKING:  # names of the stub files only
    from troupe.api.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub

Turn = str | Sequence[ToolCall]
_DIMENSIONS = 64


@dataclass
class FakeModels:
    """A fake of the port `Models`: says its `turns` one after the other, the last again and again."""

    turns: Sequence[Turn] = ("The sources do not answer this question.",)
    extractive: bool = True
    price: int = 0
    hangs: bool = False
    requests: list[GenerateRequest] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    async def generator(self, name: str, *, timeout_seconds: float | None) -> Model:
        return Model(
            name=name or "fake",
            kind=ModelKind.MODEL_KIND_GENERATOR,
            extractive=self.extractive,
            input_price_usd_micros_per_million_tokens=self.price,
            output_price_usd_micros_per_million_tokens=self.price,
        )

    async def generate(
        self, request: GenerateRequest, *, timeout_seconds: float | None
    ) -> AsyncGenerator[GenerateResponse, None]:
        self.requests.append(request)
        turn = self.turns[min(len(self.requests), len(self.turns)) - 1]
        if self.hangs:
            await self._hang()
        if isinstance(turn, str):
            for word in re.findall(r"\S+\s*", turn):
                yield GenerateResponse(text_delta=word)
        else:
            for call in turn:
                yield GenerateResponse(tool_call=call)
        usage = Usage(input_tokens=70, output_tokens=30, cost_usd_micros=5, model_calls=1, model="fake")
        yield GenerateResponse(finish=GenerateFinish(reason=FinishReason.FINISH_REASON_STOP, usage=usage))

    async def embed(self, request: EmbedRequest, *, timeout_seconds: float | None) -> EmbedResponse:
        self.embedded += request.texts
        usage = Usage(input_tokens=10, model_calls=1, model="words")
        embeddings = [Embedding(values=_vector(text)) for text in request.texts]
        return EmbedResponse(embeddings=embeddings, usage=usage, model="words")

    async def _hang(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def _vector(text: str) -> list[float]:
    """Texts that share words are close."""
    vector = [0.3] * _DIMENSIONS
    for word in re.findall(r"\w+", text.casefold()):
        vector[hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % _DIMENSIONS] += 1
    return vector


@dataclass
class FakeMemory:
    """A fake of the port `MemorySearch`: `found` by query, else `passages`; `error` instead where there is one."""

    passages: Sequence[Passage] = ()
    found: Mapping[str, Sequence[Passage]] = field(default_factory=dict)
    error: Exception | None = None
    queries: list[str] = field(default_factory=list)
    projects: set[str] = field(default_factory=set)
    filters: list[Mapping[str, str]] = field(default_factory=list)

    async def search(self, project: str, query: str, *, limit: int, metadata: Mapping[str, str]) -> Sequence[Passage]:
        self.queries.append(query)
        self.projects.add(project)
        self.filters.append(metadata)
        if self.error is not None:
            raise self.error
        return self.found.get(query, self.passages)[:limit]


def passage(text: str, *, name: str = "bridges", start: int = 0, heading: str = "") -> Passage:
    """A passage that stands at `start` of the document `name`.md."""
    return Passage(
        passage_id=f"{name}-{start}",
        document_id=name,
        document_title=name.capitalize(),
        document_uri=f"{name}.md",
        heading=heading,
        start_offset=start,
        end_offset=start + len(text),
        text=text,
    )


def step(agent: str, instruction: str, *dependencies: tuple[str, StepOutput], **fields: object) -> ExecuteRequest:
    """An attempt of a step; dependencies are titles with outputs."""
    request = ExecuteRequest(
        task_id="task",
        step_id=agent,
        agent=agent,
        attempt=1,
        idempotency_key=f"task/{agent}",
        project="default",
        instruction=instruction,
        task_input=instruction,
        dependencies=[
            DependencyOutput(step_id=f"step-{n}", agent="analyzer", title=title, output=output)
            for n, (title, output) in enumerate(dependencies)
        ],
    )
    request.MergeFrom(ExecuteRequest(**fields))  # type: ignore[arg-type] # checked by protobuf
    return request


@dataclass(frozen=True)
class Ran:
    """What a step came to."""

    events: Sequence[ExecuteResponse]

    @property
    def output(self) -> StepOutput:
        assert self.events[-1].WhichOneof("event") == "output"
        return self.events[-1].output

    @property
    def streamed(self) -> str:
        return "".join(event.text_delta.text for event in self.events)

    @property
    def kinds(self) -> list[str]:
        return [event.WhichOneof("event") or "" for event in self.events]


def runtime(
    *agents: Agent,
    models: FakeModels | None = None,
    memory: FakeMemory | None = None,
    tools: Sequence[Tool] = (),
    settings: ExecutionSettings | None = None,
) -> Runtime:
    """A runtime on fakes."""
    registry = ToolRegistry([MemorySearchTool(memory=memory or FakeMemory()), *tools])
    settings = settings or ExecutionSettings()
    return Runtime(agents=agents, models=models or FakeModels(), tools=registry, settings=settings)


async def execute(running: Runtime, request: ExecuteRequest, *, timeout_seconds: float | None = 10) -> Ran:
    """Runs a step to its end."""
    async with aclosing(running.execute(request, timeout_seconds=timeout_seconds)) as events:
        return Ran([event async for event in events])


@contextmanager
def agents_server(env: Mapping[str, str], *, log: Path) -> Iterator[str]:
    """Runs `python -m troupe.agents` with these settings of `TROUPE_AGENTS__`; its address."""
    address = f"127.0.0.1:{free_port()}"
    variables = {f"TROUPE_AGENTS__{name}": value for name, value in {"SERVER__LISTEN": address, **env}.items()}
    with running(Launch([sys.executable, "-m", "troupe.agents"], variables), log=log):
        yield address


@pytest.fixture(scope="session")
def agents_process(
    milvus_server: MilvusServer, inference_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the agents, which may not be ready yet."""
    env = {"MILVUS_URI": milvus_server.uri, "INFERENCE_ADDRESS": inference_process, "MEMORY__COLLECTION": "agents"}
    with agents_server(env, log=tmp_path_factory.mktemp("agents") / "agents.log") as address:
        yield address


@pytest.fixture
async def agents_address(agents_process: str, inference_address: str) -> str:
    """Address of the agents, ready with all that they need."""
    await until_health(agents_process, serving=True)
    return agents_process


@asynccontextmanager
async def agents_client(address: str) -> "AsyncIterator[AgentServiceAsyncStub]":
    """A client without retries."""
    async with open_channel(address, retries=False) as channel:
        yield AgentServiceStub(channel)


@asynccontextmanager
async def memory_client(address: str) -> "AsyncIterator[MemoryServiceAsyncStub]":
    """A client without retries."""
    async with open_channel(address, retries=False) as channel:
        yield MemoryServiceStub(channel)
