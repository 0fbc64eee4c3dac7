"""The connection to Redis."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from troupe.core.health import Check


def open_redis(url: str) -> Redis:
    """A client of `url` that connects when first used and again when cut; failed commands are not repeated."""
    return Redis.from_url(
        url, socket_connect_timeout=2, socket_keepalive=True, health_check_interval=0, retry=Retry(NoBackoff(), 0)
    )


def redis_check(redis: Redis, url: str) -> Check:
    """A health check that says where Redis was looked for, without its password."""
    address = url.rpartition("@")[2].removeprefix("redis://")

    async def check() -> None:
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            raise ConnectionError(f"no Redis answers at {address}: {error}") from None

    return check
