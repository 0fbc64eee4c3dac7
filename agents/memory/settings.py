"""Settings of the memory."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class MemorySettings(BaseModel):
    """How documents are taken, stored and found. The addresses stand beside it, in the settings of the service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str = Field(default="troupe", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", description="prefix of names")
    embedding_model: str = Field(default="", description="empty takes the deployment's default embedder")
    # Half of what the orchestrator, through which documents come, lets pass at most.
    max_document_bytes: int = Field(default=8 << 20, gt=0)
    parse_timeout_seconds: float = Field(default=60, gt=0)
    parse_memory_bytes: int = Field(default=2 << 30, ge=256 << 20, description="address space of the parsing process")
    concurrent_documents: int = Field(default=8, ge=1, le=64)
    embed_batch: int = Field(default=64, ge=1, le=1024, description="texts a call, of any documents")
    embed_concurrency: int = Field(default=4, ge=1, le=64)
    embed_timeout_seconds: float = Field(default=60, gt=0)
    milvus_timeout_seconds: float = Field(default=30, gt=0)
    milvus_token: SecretStr = Field(default=SecretStr(""), description="`user:password` or an API key")
    consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = Field(
        default="Strong", description="Strong sees every write of every replica; weaker levels are faster"
    )
    clear_after_seconds: float = Field(
        default=3600, gt=0, description="what an ingest that broke off left is deleted when it is older"
    )
    candidates: int = Field(default=100, ge=1, le=1000, description="passages that each of the two searches fuses")
