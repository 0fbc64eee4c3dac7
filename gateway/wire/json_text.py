"""JSON as it is sent: in one line, and no longer than it must be."""

import json


def compact_json(value: object) -> str:
    """A value in one line, without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
