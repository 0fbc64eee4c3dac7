"""How a value of a client or a backend stands in a message: quoted, readable, and short."""

from typing import Final

from gateway.wire.json_text import compact_json

_SHOWN_CHARS: Final = 80


def shown(value: object) -> str:
    """A value for an error message: texts and bytes in quotes, other values as JSON has them."""
    if isinstance(value, bytes | bytearray):
        value = value.decode("utf-8", "backslashreplace")
    text = repr(value) if isinstance(value, str) else compact_json(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
