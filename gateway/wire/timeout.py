"""Deadlines: the `grpc-timeout` header."""

import re
from collections.abc import Mapping
from typing import Final

from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.shown import shown

_FORM: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS: Final[Mapping[bytes, float]] = {b"H": 3600, b"M": 60, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class TimeoutFormatError(RequestError):
    """A timeout that is none."""


def parse_grpc_timeout(value: bytes) -> float:
    """The timeout in seconds.

    Raises:
        TimeoutFormatError: the value is not one to eight digits and a unit.
    """
    match = _FORM.fullmatch(value)
    if match is None:
        raise TimeoutFormatError(
            f"`grpc-timeout` is {shown(value)}; it must be 1 to 8 digits and one of H, M, S, m, u, n"
        )
    return int(match[1]) * _SECONDS[match[2]]
