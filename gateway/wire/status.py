"""gRPC status codes, and what the codes of other layers mean in them."""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Final


class Code(IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
_OF_HTTP: Final[Mapping[int, Code]] = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}

# https://connectrpc.com/docs/protocol/#error-codes, which is that of
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_TO_HTTP: Final[Mapping[Code, int]] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
_OF_RESET: Final[Mapping[int, Code]] = {
    7: Code.UNAVAILABLE,  # REFUSED_STREAM
    8: Code.CANCELLED,  # CANCEL
    11: Code.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    12: Code.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}


def of_http(status: int) -> Code:
    """What an HTTP status means that came without a gRPC status."""
    return _OF_HTTP.get(status, Code.UNKNOWN)


def of_reset(error_code: int) -> Code:
    """What the error code of an HTTP/2 RST_STREAM means."""
    return _OF_RESET.get(error_code, Code.INTERNAL)


def to_http(code: Code) -> int:
    """The HTTP status of an error that is answered by plain HTTP."""
    return _TO_HTTP[code]


@lru_cache(maxsize=64)
def code_of(grpc_status: bytes) -> Code:
    """The code of a `grpc-status` value; a value that is none is UNKNOWN."""
    try:
        return Code(int(grpc_status))
    except ValueError:
        return Code.UNKNOWN


def name_of(grpc_status: bytes) -> str:
    """The name of a `grpc-status` value; a value that is none is UNKNOWN."""
    return code_of(grpc_status).name
