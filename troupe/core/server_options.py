"""What gRPC is told of a server's bounds.

https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h
"""

from collections.abc import Sequence
from typing import Any, Final

from troupe.core.channels import MIN_PING_INTERVAL_MS
from troupe.core.server_settings import ServerSettings

# Up to this many times `max_message_bytes` a message is read and refused with a reason; above it gRPC itself
# cuts the call with RESOURCE_EXHAUSTED.
_REFUSABLE: Final = 4
# Pings that come sooner than `MIN_PING_INTERVAL_MS`, while the server says nothing. An idle client that keeps its
# connection alive is no abuse, which two such pings, gRPC's default, would make of it; a flood is.
_PING_STRIKES: Final = 20
_MOST_READ_BYTES: Final = 128 << 10
_FOREVER_MS: Final = (1 << 31) - 1


def server_options(settings: ServerSettings) -> Sequence[tuple[str, Any]]:
    """The options of a server."""
    grace = settings.max_connection_age_grace_seconds
    return [
        ("grpc.max_receive_message_length", _REFUSABLE * settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
        # What is read from a connection at a time; gRPC lets it grow to 4 MiB for who sends much, and keeps it.
        ("grpc.experimental.tcp_max_read_chunk_size", _MOST_READ_BYTES),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", _PING_STRIKES),
        ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
        # Streams that the client broke off count until they are gone, which bounds rapid resets.
        ("grpc.http.overload_protection", 1),
        # The defaults (1,000 and 3,000) drop streams at random when thousands open at once.
        ("grpc.server.max_pending_requests", settings.max_pending_calls),
        ("grpc.server.max_pending_requests_hard_limit", 2 * settings.max_pending_calls),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        # Below the second, gRPC refuses at random.
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        ("grpc.server_handshake_timeout_ms", _ms(settings.handshake_seconds)),
        ("grpc.http2.settings_timeout", _ms(settings.handshake_seconds)),
        ("grpc.max_connection_age_ms", _ms(settings.max_connection_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _FOREVER_MS if grace is None else _ms(grace)),
        ("grpc.max_connection_idle_ms", _ms(settings.max_connection_idle_seconds)),
    ]


def _ms(seconds: float) -> int:
    return min(_FOREVER_MS, int(seconds * 1000))
