"""Settings of the orchestrator's API and of its worker."""

from datetime import timedelta
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from troupe.core.server import ServerSettings
from troupe.core.settings import GrpcTarget
from troupe.core.settings_view import print_sections
from troupe.orchestrator.domain.delegation import DelegationBounds
from troupe.orchestrator.domain.retry import RetryPolicy
from troupe.orchestrator.store.settings import StoreSettings
from troupe.orchestrator.store.tasks import Keeping
from troupe.orchestrator.webhooks.settings import WebhookSettings


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


class DelegationSettings(BaseModel):
    """How far agents may delegate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_depth: int = Field(default=3, ge=0, le=3, description="delegations within delegations; 0 allows none")
    max_steps: int = Field(default=2_000, ge=1, description="steps of a task, the planned ones included")

    def bounds(self) -> DelegationBounds:
        """The same as the worker has it."""
        return DelegationBounds(max_depth=self.max_depth, max_steps=self.max_steps)


class OrchestratorSettings(StoreSettings):
    """The API."""

    section: ClassVar[str] = "orchestrator"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50051")
    agents: tuple[GrpcTarget, ...] = ("127.0.0.1:50052",)
    memory_address: GrpcTarget = "127.0.0.1:50052"
    memory_max_message_bytes: int = Field(default=32 << 20, gt=0)
    inference_address: GrpcTarget = Field(
        default="127.0.0.1:50053",
        description="`host:port` that is asked which models there are; while it cannot be reached, any name is taken",
    )
    task_timeout: timedelta = timedelta(hours=1)
    retention: timedelta = timedelta(days=7)
    request_id_ttl: timedelta = timedelta(hours=24)
    checkpoint_seconds: float = Field(default=15.0, gt=0)
    watcher_buffer_bytes: int = Field(default=256 << 10, gt=0)
    kept_events: int = Field(default=100_000, ge=1_000, description="of a longer history the oldest are dropped")
    max_open_tasks: int = Field(default=200_000, ge=1, description="tasks that have not ended, of all projects")
    max_open_tasks_per_project: int = Field(default=100_000, ge=1)
    webhooks: WebhookSettings = WebhookSettings()
    watch_coalesce_seconds: float = Field(
        default=0.015, gt=0, description="how long live events are gathered, at least"
    )
    max_watchers: int = Field(default=20_000, ge=1, description="streams that watch tasks; one more is refused")
    large_message_bytes: int = Field(
        default=64 << 20,
        gt=0,
        description="of all events of more than 64 KiB that are being sent to watchers; when it is full, those who do"
        " not take theirs are broken off",
    )

    def keeping(self) -> Keeping:
        """How long what is kept of a task."""
        return Keeping(
            retention_ms=int(self.retention.total_seconds() * 1000),
            request_ttl_ms=int(self.request_id_ttl.total_seconds() * 1000),
            events=self.kept_events,
        )


class WorkerSettings(StoreSettings):
    """The executor of steps."""

    section: ClassVar[str] = "worker"

    server: ServerSettings = ServerSettings(listen="127.0.0.1:50054")
    agents: tuple[GrpcTarget, ...] = ("127.0.0.1:50052",)
    local_agents: tuple[str, ...] = Field(
        default=(), description="agents in this process, as `package.module:factory` of a `troupe.agent.StepExecutor`"
    )
    max_concurrency: int = Field(default=32, ge=1, description="steps at once of an agent that does not say")
    step_timeout: timedelta = timedelta(minutes=10)
    retry: RetrySettings = RetrySettings()
    lease_seconds: float = Field(default=1.5, gt=0)
    delegation: DelegationSettings = DelegationSettings()
    cost_units: dict[str, int] = Field(default={}, description="price of an attempt in units of your own, by agent")
    default_cost_units: int = Field(default=1, ge=0, description="the same for agents that `cost_units` leaves out")
    max_lost_leases: int = Field(default=8, ge=1, description="then the step fails: it kills its workers")
    webhooks: WebhookSettings = WebhookSettings()
    tick_seconds: float = Field(default=0.2, gt=0, description="less than half of `lease_seconds`")
    coalesce_seconds: float = Field(default=0.015, ge=0, description="how long text deltas are gathered")

    @model_validator(mode="after")
    def _looks_at_leases_often(self) -> "WorkerSettings":
        if self.tick_seconds >= self.lease_seconds / 2:
            raise ValueError(
                f"tick_seconds is {self.tick_seconds:g} and lease_seconds {self.lease_seconds:g}: clocks must be looked"
                " at more than twice in a lease; make tick_seconds smaller or lease_seconds larger"
            )
        return self


if __name__ == "__main__":
    print_sections(OrchestratorSettings, WorkerSettings)
