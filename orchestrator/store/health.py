"""The health of the store."""

from troupe.core.health import Check
from troupe.orchestrator.redis.client import RedisClient
from troupe.orchestrator.store.partitions import Partitions
from troupe.orchestrator.store.schema import DeploymentKey


def redis_check(redis: RedisClient, partitions: Partitions) -> Check:
    """A health check that says where Redis was looked for.

    The first process of a deployment writes down the number of partitions; one that was set up with another is not
    healthy, since it would look for tasks where they are not.
    """

    async def check() -> None:
        try:
            await redis.execute("SET", DeploymentKey.PARTITIONS.key, partitions.count, "NX")
            recorded = int(await redis.execute("GET", DeploymentKey.PARTITIONS.key))
        except OSError as error:
            if getattr(error, "refusal", ""):
                raise ConnectionError(f"at {redis.endpoint}: {error}") from None
            raise ConnectionError(f"no Redis answers at {redis.endpoint}: {error or type(error).__name__}") from None
        if recorded != partitions.count:
            raise ConnectionError(
                f"`partitions` is {partitions.count} here and {recorded} in the Redis at {redis.endpoint};"
                " it cannot change"
            )

    return check
