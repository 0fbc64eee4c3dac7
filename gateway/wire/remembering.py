"""Remembers what was read or written before, but never who said it.

Heads and header fields repeat, so most of the gateway's speed is in caches of them. What logs a caller in must not stay
there: a cache outlives the request, and would hold the secrets of the last thousand callers.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SECRET_NAMES: Final = frozenset(
    b"authorization cookie proxy-authorization set-cookie x-api-key api-key x-goog-api-key x-auth-token".split()
)
"""The header fields with which callers log in, or are logged in by; RFC 9110, 11.6 and 11.7, RFC 6265, and custom."""


class _NotKept(Exception):  # noqa: N818 - it carries a result
    """Leaves `lru_cache` without a trace."""

    def __init__(self, result: Any) -> None:
        self.result = result


def remembered(function: Callable[P, T], *, most: int, secret: Callable[[T], bool]) -> Callable[P, T]:
    """The function, whose last `most` results are kept, but those that are `secret`: they are worked out each time."""

    def passed_on(*args: P.args, **kwargs: P.kwargs) -> T:
        result = function(*args, **kwargs)
        if secret(result):
            raise _NotKept(result)
        return result

    kept: Any = lru_cache(maxsize=most)(passed_on)

    @wraps(function)
    def known(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            result: T = kept(*args, **kwargs)
        except _NotKept as passed:
            result = passed.result
        return result

    return known


def logs_in(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether one of the fields is secret."""
    return not SECRET_NAMES.isdisjoint([name for name, _ in headers])
