"""Page tokens of lists. Pure."""

import base64
import binascii
import json
from collections.abc import Sequence

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError


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
    except (binascii.Error, ValueError, TypeError):
        of_listing, last = [], None
    if of_listing != list(listing) or not isinstance(last, str):
        problem = f"is not a page token of this listing: {token[:80]!r}; begin again without one"
        raise TroupeError(
            ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
            f"`page_token` {problem}",
            violations=[FieldViolation("page_token", problem)],
        )
    return last
