"""Settings of the process that serves agents and memory."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from troupe.agents.memory.settings import MemorySettings
from troupe.core.server import ServerSettings
from troupe.core.settings import GrpcTarget, ServiceSettings
from troupe.core.settings_view import print_sections


class ExecutionSettings(BaseModel):
    """Bounds of each agent in one process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_concurrency: int = Field(default=16, ge=1, le=1024, description="steps that run at once")
    max_waiting: int = Field(
        default=64, ge=0, le=100_000, description="steps that wait for their turn; more are refused"
    )
    max_iterations: int = Field(default=6, ge=1, le=50, description="turns of a model that calls tools")


class RetrievalSettings(BaseModel):
    """How much the retriever brings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passages: int = Field(default=12, ge=1, le=100, description="passages of a question; each further aspect adds half")
    max_passages: int = Field(default=30, ge=1, le=200)


class AgentsSettings(ServiceSettings):
    """How agents and memory run."""

    section: ClassVar[str] = "agents"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50052", max_message_bytes=32 << 20)
    milvus_uri: str = "http://127.0.0.1:19530"
    inference_address: GrpcTarget = "127.0.0.1:50053"
    model: str = Field(default="", description="generator where a task names none; empty: the deployment's default")
    execution: ExecutionSettings = ExecutionSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    memory: MemorySettings = MemorySettings()


if __name__ == "__main__":
    print_sections(AgentsSettings)
