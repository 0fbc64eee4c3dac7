"""Server-Sent Events as a client reads them."""

import json
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Sent:
    """An event."""

    event: str
    id: str
    data: Any


@dataclass
class EventStreamText:
    """The text of a stream, taken apart."""

    events: list[Sent] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Reads blocks of lines; the last one must be complete."""
        parsed = cls()
        *blocks, rest = body.decode().split("\n\n")
        assert rest == "", f"the stream ends inside an event: {rest!r}"
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "":
                    parsed.comments.append(value)
                elif name == "retry":
                    parsed.retries.append(int(value))
                else:
                    assert name not in fields, f"{name} stands twice"
                    fields[name] = value
            if fields:
                parsed.events.append(Sent(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
        return parsed

    @property
    def ids(self) -> list[int]:
        """The sequences of all events."""
        return [int(sent.id) for sent in self.events]
