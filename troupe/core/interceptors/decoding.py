"""Requests that cannot be read end like others that are wrong, and not as gRPC ends them."""

from collections.abc import Callable
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import TroupeError
from troupe.core.undecodable import undecodable

Decode = Callable[[bytes], Any]
Take = Callable[[Any], Any]
"""Makes a message of what was read. Raises UnreadableError."""


class UnreadableError(Exception):
    """There is no message, or one that is none of its kind; interceptors see a request without a message."""

    def __init__(self, refusal: TroupeError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def taking(decode: Decode | None) -> Take:
    """Takes the one message of a call, as its handler has it; without a decoder it stays bytes."""

    def take(data: Any) -> Any:
        if data is grpc.aio.EOF:
            raise UnreadableError(_missing())
        try:
            return data if decode is None else decode(data)
        except DecodeError:
            raise UnreadableError(_undecodable(data, decode)) from None

    return take


def refusing(decode: Decode) -> Decode:
    """Decodes the messages of a client's stream; the handler that reads one that is none gets the error."""

    def decode_or_refuse(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            raise _undecodable(data, decode) from None

    return decode_or_refuse


def _undecodable(data: bytes, decode: Decode | None) -> TroupeError:
    kind = getattr(getattr(decode, "__self__", None), "DESCRIPTOR", None)  # decoders are methods of their messages
    return undecodable(data, kind)


def _missing() -> TroupeError:
    return TroupeError(
        ErrorReason.ERROR_REASON_INVALID_REQUEST,
        "the request has no message, or not all of it; send the message of this method, if need be an empty one",
    )
