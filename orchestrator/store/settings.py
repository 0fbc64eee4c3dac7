"""Settings of what reads and writes the tasks: the same for the orchestrator and its workers, as they share it."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from troupe.core.settings import ServiceSettings
from troupe.orchestrator.redis.endpoint import Endpoint
from troupe.orchestrator.store.partitions import MAX_PARTITIONS


def _redis_url(url: str) -> str:
    Endpoint.parse(url)
    return url


class StoreSettings(ServiceSettings):
    """The part of a process's settings that is about the store."""

    section = ""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = "redis://127.0.0.1:6379"
    wait_replicas: int = Field(
        default=0, ge=0, description="replicas that must have a change before it counts as made; 0 waits for none"
    )
    wait_timeout_ms: int = Field(
        default=1_000, ge=1, le=3_000, description="how long for them; then the change is repeated"
    )
    partitions: int = Field(
        default=8, ge=1, le=MAX_PARTITIONS, description="fixed for the life of a deployment, and the same everywhere"
    )
    known_agents_kept: Annotated[timedelta, Field(gt=timedelta())] = Field(
        default=timedelta(days=30),
        description="an agent that no process saw for so long is forgotten: plans cannot name it",
    )
