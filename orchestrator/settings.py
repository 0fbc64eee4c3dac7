"""Settings of the orchestrator's API and of its worker."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.domain.retry import RetryPolicy
from orchestrator.store.partitions import MAX_PARTITIONS
from orchestrator.store.resp import Endpoint
from troupe.core.server import ServerSettings
from troupe.core.settings import ServiceSettings


def _redis_url(url: str) -> str:
    Endpoint.parse(url)
    return url


RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class RetrySettings(BaseModel):
    """What a step's retry policy leaves open. By default eight attempts over about half a minute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: int = Field(default=8, ge=1)
    initial_backoff_seconds: float = Field(default=1.0, ge=0)
    max_backoff_seconds: float = Field(default=15.0, ge=0)
    backoff_multiplier: float = Field(default=2.0, ge=1)

    def policy(self) -> RetryPolicy:
        """The same as the domain has it."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            initial_backoff_ms=self.initial_backoff_seconds * 1000,
            max_backoff_ms=self.max_backoff_seconds * 1000,
            backoff_multiplier=self.backoff_multiplier,
        )


class OrchestratorSettings(ServiceSettings):
    """The API."""

    section: ClassVar[str] = "orchestrator"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50051")
    redis_url: RedisUrl = "redis://127.0.0.1:6379"
    partitions: int = Field(default=8, ge=1, le=MAX_PARTITIONS, description="fixed for the life of a deployment")
    agents: tuple[str, ...] = ("127.0.0.1:50052",)
    memory_address: str = "127.0.0.1:50052"
    memory_max_message_bytes: int = Field(default=32 << 20, gt=0)
    task_timeout: timedelta = timedelta(hours=1)
    retention: timedelta = timedelta(days=7)
    request_id_ttl: timedelta = timedelta(hours=24)
    checkpoint_seconds: float = Field(default=15.0, gt=0)
    watcher_buffer_bytes: int = Field(default=256 << 10, gt=0)


class WorkerSettings(ServiceSettings):
    """The executor of steps."""

    section: ClassVar[str] = "worker"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50054")
    redis_url: RedisUrl = "redis://127.0.0.1:6379"
    partitions: int = Field(default=8, ge=1, le=MAX_PARTITIONS, description="the same as the orchestrator's")
    agents: tuple[str, ...] = ("127.0.0.1:50052",)
    max_concurrency: int = Field(default=32, ge=1, description="steps at once of an agent that does not say")
    step_timeout: timedelta = timedelta(minutes=10)
    retry: RetrySettings = RetrySettings()
    lease_seconds: float = Field(default=1.5, gt=0)
    max_lost_leases: int = Field(default=8, ge=1, description="then the step fails: it kills its workers")
    tick_seconds: float = Field(default=0.2, gt=0)
    coalesce_seconds: float = Field(default=0.015, ge=0, description="how long text deltas are gathered")
