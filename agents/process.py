"""The agents and the memory."""

from contextlib import AsyncExitStack
from functools import partial

from troupe.agent import AgentServicer
from troupe.agents.builtin.analyzer.agent import Analyzer
from troupe.agents.builtin.retriever.agent import Retriever
from troupe.agents.builtin.writer.agent import Writer
from troupe.agents.memory.clearing import clearing
from troupe.agents.memory.embedding import InferenceEmbedder
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.search import MemorySearcher
from troupe.agents.rpc.memory import MemoryServicer
from troupe.agents.runtime.inference import InferenceModels
from troupe.agents.runtime.runtime import Runtime
from troupe.agents.settings import AgentsSettings
from troupe.agents.tools.memory_search import MemorySearchTool
from troupe.agents.tools.registry import ToolRegistry
from troupe.api.memory.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from troupe.core.channels import open_channel
from troupe.core.health import grpc_health_check
from troupe.core.server import Drain, run, serving

AGENT_SERVICE = "troupe.api.agent.v1.AgentService"
MEMORY_SERVICE = "troupe.api.memory.v1.MemoryService"


async def main(drain: Drain) -> None:
    """Serves until the process is asked to stop."""
    settings = AgentsSettings.load()
    memory = settings.memory
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(settings.inference_address))
        store = await stack.enter_async_context(MilvusStore(uri=settings.milvus_uri, settings=memory))
        parser = await stack.enter_async_context(
            Parser(
                timeout_seconds=memory.parse_timeout_seconds,
                memory_bytes=memory.parse_memory_bytes,
                processes=memory.parse_processes,
            )
        )
        embedder = InferenceEmbedder(
            channel=channel,
            model=memory.embedding_model,
            batch=memory.embed_batch,
            concurrency=memory.embed_concurrency,
            timeout_seconds=memory.embed_timeout_seconds,
        )
        search = MemorySearcher(store=store, embedder=embedder)
        runtime = Runtime(
            agents=[_retriever(settings), Analyzer(), Writer()],
            models=InferenceModels(channel=channel),
            tools=ToolRegistry([MemorySearchTool(memory=search)]),
            settings=settings.execution,
            default_model=settings.model,
        )
        agents = AgentServicer(runtime, drain=drain)
        documents = MemoryServicer(store=store, embedder=embedder, parser=parser, settings=memory)
        services = {
            AGENT_SERVICE: partial(AgentServicer.add_to, agents),
            MEMORY_SERVICE: partial(add_MemoryServiceServicer_to_server, documents),
        }
        dependencies = {"inference": grpc_health_check(channel), "milvus": store.check}
        async with (
            clearing(documents.removal, older_than_seconds=memory.clear_after_seconds),
            serving(settings.server, drain=drain, services=services, dependencies=dependencies),
        ):
            await drain.wait()


def _retriever(settings: AgentsSettings) -> Retriever:
    return Retriever(
        passages=settings.retrieval.passages,
        max_passages=settings.retrieval.max_passages,
        max_iterations=settings.execution.max_iterations,
    )


def run_process() -> None:
    """Runs the process to its end."""
    run("agents", main, AgentsSettings)
