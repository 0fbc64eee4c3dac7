from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.support.milvus import MilvusServer, WordEmbedder, memory
from troupe.agents.memory.settings import MemorySettings

if TYPE_CHECKING:  # a name of the stub file only
    from troupe.api.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub


@pytest.fixture
async def client(milvus_server: MilvusServer) -> "AsyncIterator[MemoryServiceAsyncStub]":
    """A client of a memory with word vectors; tests keep apart by their projects."""
    async with memory(milvus_server.uri, WordEmbedder(), MemorySettings()) as stub:
        yield stub
