"""Page tokens: opaque to clients, and only good for the method and the filter that they were made for (AIP-158)."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError

Cursor = tuple[int, str]
"""Creation time in ms and id of the last task of a page."""


def encode_page_token(cursor: Cursor, states: Sequence[int]) -> str:
    """The token that asks for what follows a cursor."""
    return base64.urlsafe_b64encode(json.dumps([*cursor, _mark(states)]).encode()).decode().rstrip("=")


def decode_page_token(token: str, states: Sequence[int]) -> Cursor | None:
    """The cursor of a token; None for the first page.

    Raises:
        TroupeError: INVALID_PAGE_TOKEN.
    """
    if not token:
        return None
    try:
        created_ms, task_id, mark = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if type(created_ms) is int and isinstance(task_id, str) and mark == _mark(states):
            return created_ms, task_id
    except (ValueError, TypeError, binascii.Error):
        pass
    problem = f"{token!r} was not made by this method for this request; send `next_page_token` as it came, or nothing"
    raise TroupeError(
        ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
        f"`page_token` {problem}",
        violations=[FieldViolation("page_token", problem)],
    )


def _mark(states: Sequence[int]) -> str:
    return hashlib.sha256(repr(sorted(states)).encode()).hexdigest()[:8]
