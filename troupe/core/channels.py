"""Channels: how one process calls another."""

import json
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from troupe.core.telemetry.propagation import tracing_calls

# Keepalive of clients; servers allow a ping every `MIN_PING_INTERVAL_MS`, see `troupe.core.server`.
KEEPALIVE_TIME_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
MIN_PING_INTERVAL_MS: Final = 10_000

# Servers take so many calls on a connection; a client with more opens another, up to this many to each address.
# https://github.com/grpc/proposal/blob/master/A105-max-concurrent-streams-connection-scaling.md
_MOST_CONNECTIONS: Final = 16

_SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "connectionScaling": {"maxConnectionsPerSubchannel": _MOST_CONNECTIONS},
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
)


def open_channel(address: str, *, max_message_bytes: int = 64 << 20, retries: bool = True) -> grpc.aio.Channel:
    """Opens a channel to `host:port` or any gRPC target; it connects lazily and again when cut.

    With `retries`, calls that end UNAVAILABLE before their first message are tried again, up to four times.
    Calls carry the trace context of whoever makes them.
    """
    channel = grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.max_connections_per_subchannel_cap", _MOST_CONNECTIONS),
            ("grpc.enable_retries", int(retries)),
            ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # A restarted neighbour is found again within a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ],
    )
    return TracedChannel(channel)


class TracedChannel(grpc.aio.Channel):
    """A channel whose calls carry the current trace context."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._channel.__aexit__(kind, error, trace)

    async def close(self, grace: float | None = None) -> None:
        """Ends the calls that are open when `grace` seconds have passed."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Whether it is connected."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is another."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when it is connected."""
        await self._channel.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """What calls a method with one request and one response."""
        return tracing_calls(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """What calls a method that streams its responses."""
        return tracing_calls(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """What calls a method that streams its requests."""
        return tracing_calls(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """What calls a method that streams both."""
        return tracing_calls(self._channel.stream_stream(*args, **kwargs))
