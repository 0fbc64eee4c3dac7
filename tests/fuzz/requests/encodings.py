"""What is sent: messages in protobuf and in JSON, as they are or with something broken in them."""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message

_INSERTED: Final = (
    b"\x00",
    b"\xff",
    b"\x80" * 11,
    b"\x0a\xff\xff\xff\x7f",
    b"\x0b",
    b"\x0f",
    b"\xed\xa0\x80",
    b"\x1a\x00",
)
_JSON_PARTS: Final = (
    "NaN", "-Infinity", "1e999", "9" * 400, "1.5", "true", "null", '"\\ud800"', '"\\u0000"', "{}", "[]", "[[]]",
    '"FAILED"',
    "-1", "9223372036854775808", '"99999999999999999999s"', '"0001-01-01T00:00:00Z"', '{"a":1,"a":2}',
    '"' + "x" * 3000 + '"',
)  # fmt: skip


def framed(message: bytes) -> bytes:
    """A message as gRPC puts it into a body."""
    return struct.pack(">BI", 0, len(message)) + message


def protobuf(message: Message, random: Random) -> bytes:
    """The message, one time in four with broken bytes."""
    data = message.SerializeToString()
    return broken(data, random) if random.random() < 0.25 else data


def broken(data: bytes, random: Random) -> bytes:
    """Bytes with one to three things changed."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(data))
        data = random.choice(_CHANGES)(data, at, random)
    return data


def json_text(message: Message, random: Random) -> bytes:
    """The message in JSON, half of the time with something changed that its reader may stumble over."""
    try:
        value = json_format.MessageToDict(message, preserving_proto_field_name=random.random() < 0.3)
    except (json_format.Error, ValueError, TypeError, RecursionError):  # what JSON has not
        value = {}
    if random.random() < 0.5:
        return json.dumps(value).encode()
    changed = _changed(value, random)
    text = json.dumps(changed).replace('"@@"', random.choice(_JSON_PARTS)).encode(errors="surrogatepass")
    return broken(text, random) if random.random() < 0.2 else text


def _changed(value: Any, random: Random) -> Any:
    """The value with a mark in place of one that stands in it, or with one name changed."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        if random.random() < 0.2:
            return {**value, random.choice((name + "s", name.upper(), "x", f"[{name}]", "@type")): "@@"}
        return {**value, name: _changed(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], _changed(value[at], random), *value[at + 1 :]]
    return "@@"


_Change = Callable[[bytes, int, Random], bytes]
_CHANGES: Final[Sequence[_Change]] = (
    lambda data, at, random: data[:at] + random.choice(_INSERTED) + data[at:],
    lambda data, at, random: data[:at] + random.randbytes(1) + data[at + 1 :],
    lambda data, at, _random: data[:at],
    lambda data, at, random: data[:at] + data[at + random.randint(1, 4) :],
    lambda data, at, _random: data + data[at:],
)
