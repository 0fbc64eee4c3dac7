"""The connection to Redis."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from troupe.core.health import Check


def open_redis(url: str) -> Redis:
    """A client of `url` that connects when first used and again when cut.

    A command whose connection turns out to be cut is repeated once on a new one, as every connection of the pool is
    after a restart; all that is sent bears it.

    A Redis that accepts and does not answer counts as gone after four seconds; blocking reads take at most two.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=4,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
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
