"""A real Milvus (milvus-lite's server) and a memory on it, for tests."""

import hashlib
import math
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import running
from troupe.agents.memory.embedding import Embedder, Embeddings
from troupe.agents.memory.milvus.store import MilvusStore
from troupe.agents.memory.parser import Parser
from troupe.agents.memory.settings import MemorySettings
from troupe.agents.memory.terms import terms
from troupe.agents.rpc.memory import MemoryServicer
from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceStub, add_MemoryServiceServicer_to_server
from troupe.core.channels import open_channel
from troupe.core.server import Drain, ServerSettings, serving
from troupe.local.launch import free_port
from troupe.local.servers.milvus import milvus_launch

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub


class MilvusServer:
    """A milvus-lite server that can be killed and started again on its data."""

    def __init__(self, *, data_dir: Path) -> None:
        self.port = free_port()
        self._data_dir = data_dir
        self._stack = ExitStack()
        self.process: subprocess.Popen[bytes]

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        launch = milvus_launch(data_dir=self._data_dir / "data", port=self.port)
        self.process = self._stack.enter_context(running(launch, log=self._data_dir / "milvus.log"))
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                continue
            return
        raise AssertionError(f"milvus-lite ended with {self.process.returncode}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self._stack.close()


class WordEmbedder:
    """A fake of the port `Embedder`: texts that share words get vectors that are close."""

    def __init__(self, *, model: str = "words", dimensions: int = 64) -> None:
        self.calls: list[int] = []
        self._model = model
        self._dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        self.calls.append(len(texts))
        return Embeddings(self._model, [self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        vector = [1e-3] * self._dimensions
        for term in terms(text).split():
            digest = hashlib.blake2b(term.encode(), digest_size=4).digest()
            vector[int.from_bytes(digest[:2], "big") % self._dimensions] += 1 if digest[2] & 1 else -1
        norm = math.hypot(*vector)
        return [component / norm for component in vector]


@asynccontextmanager
async def memory(uri: str, embedder: Embedder, settings: MemorySettings) -> "AsyncIterator[MemoryServiceAsyncStub]":
    """A client, without retries, of a memory service of its own on a Milvus."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(MilvusStore(uri=uri, settings=settings))
        parser = Parser(
            timeout_seconds=settings.parse_timeout_seconds,
            memory_bytes=settings.parse_memory_bytes,
            processes=settings.parse_processes,
        )
        await stack.enter_async_context(parser)
        servicer = MemoryServicer(store=store, embedder=embedder, parser=parser, settings=settings)
        name = "troupe.api.memory.v1.MemoryService"
        address = await stack.enter_async_context(
            serving(
                ServerSettings(listen="127.0.0.1:0", max_message_bytes=64 << 20, grace_seconds=0),
                drain=Drain(),
                services={name: lambda server: add_MemoryServiceServicer_to_server(servicer, server)},
                dependencies={"milvus": store.check},
            )
        )
        channel = await stack.enter_async_context(open_channel(address, retries=False))
        yield MemoryServiceStub(channel)


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A Milvus for the whole session; whoever kills it starts it again."""
    server = MilvusServer(data_dir=tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.stop()
