"""Values of settings as they may be shown: without passwords, tokens and keys."""

import re
import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

HIDDEN: Final = "***"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST: Final = r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/?#@,\[\]]*)(?::(?:\d+|\*))?"
_PLACE: Final = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^\s?#@]*)?")
_LEAST_TELLING: Final = 3


def masked(text: str) -> str:
    """The text without the credentials of a URL, whatever signs a password that nobody encoded has.

    What stands before the last `@` is hidden, and what no host, port and path can be; of a query only that there is
    one is left.
    """
    found = _SCHEME.match(text)
    scheme = found[0] if found else ""
    _, at, place = text[len(scheme) :].rpartition("@")
    if not scheme and not at:
        return text
    base, mark, _ = re.match(r"([^?#]*)([?#]?)(.*)", place, re.DOTALL).groups()  # type: ignore[union-attr] # matches all
    shown = (base if _PLACE.fullmatch(base) else HIDDEN) + (mark and mark + HIDDEN)
    return scheme + (f"{HIDDEN}@" if at else "") + shown


def scrubbed(message: str, value: str) -> str:
    """A message about a value, without the parts of the value that are masked."""
    kept = masked(value)
    if kept == value:
        return message
    message = message.replace(value, kept)
    for part in sorted(re.split(r"[\W_]+", value), key=len, reverse=True):  # a name may stand within the password
        if len(part) >= _LEAST_TELLING and part not in kept:
            message = message.replace(part, HIDDEN)
    return message


def masked_all(value: Any) -> Any:
    """The same for all texts in a value as JSON has it."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_all(inner) for key, inner in value.items()}
    return [masked_all(inner) for inner in value] if isinstance(value, list) else value


def holds_secret(annotation: Any) -> bool:
    """Whether a value of this type is a secret, or has one in it."""
    return any(part in (SecretStr, SecretBytes) for part in _parts(annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in typing.get_args(annotation):
        yield from _parts(inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            yield from _parts(field.annotation)
