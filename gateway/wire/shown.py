"""How a value of a client or a backend stands in a message: as its sender wrote it, in one line, and short."""

import json
from typing import Final

_SHOWN_CHARS: Final = 80


def shown(value: object) -> str:
    """A value for an error message: texts and bytes in quotes, other values as JSON has them."""
    if isinstance(value, bytes | bytearray):
        value = _text(bytes(value))
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
