"""Requests that cannot be decoded end like others that are wrong, and not as gRPC ends them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from troupe.core.errors import TroupeError
from troupe.core.undecodable import undecodable

Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A request that is no message of its kind; interceptors see it as a request without a message."""

    data: bytes
    decode: Decode

    def error(self) -> TroupeError:
        """What the caller is told."""
        kind = getattr(getattr(self.decode, "__self__", None), "DESCRIPTOR", None)  # a method of its message
        return undecodable(self.data, kind)


def refusing(decode: Decode) -> Decode:
    """Decodes the messages of a client's stream; the handler that reads one that is none gets the error."""

    def decode_or_refuse(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            raise Undecodable(data, decode).error() from None

    return decode_or_refuse
