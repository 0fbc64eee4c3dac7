"""Page tokens of lists. Pure."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError
from troupe.core.json_values import is_text

_MAX_DIGITS: Final = 9


def page_token(listing: Sequence[str], last: str) -> str:
    """The token of the page of a listing after the one that ends with `last`."""
    return base64.urlsafe_b64encode(json.dumps([*listing, last]).encode()).decode()


def read_page_token(listing: Sequence[str], token: str) -> str:
    """What the page comes after; empty for the first page.

    Raises:
        TroupeError: INVALID_PAGE_TOKEN.
    """
    if not token:
        return ""
    try:
        *of_listing, last = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        of_listing, last = [], None
    if of_listing != list(listing) or not isinstance(last, str) or not is_text(last):
        raise _foreign(token)
    return last


def read_place(listing: Sequence[str], token: str) -> int:
    """How many the pages before have, of a listing whose tokens hold that number; 0 for the first page.

    Raises:
        TroupeError: INVALID_PAGE_TOKEN.
    """
    place = read_page_token(listing, token) or "0"
    if len(place) > _MAX_DIGITS or not (place.isascii() and place.isdecimal()):
        raise _foreign(token)
    return int(place)


def _foreign(token: str) -> TroupeError:
    problem = f"is not a page token of this listing: {token[:80]!r}; begin again without one"
    return TroupeError(
        ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
        f"`page_token` {problem}",
        violations=[FieldViolation("page_token", problem)],
    )
