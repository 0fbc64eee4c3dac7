"""Page tokens of the list of documents. Pure."""

import base64
import binascii
import json

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.core.errors import FieldViolation, TroupeError


def page_token(project: str, last_uri: str) -> str:
    """The token of the page after the one that ends with `last_uri`."""
    return base64.urlsafe_b64encode(json.dumps([project, last_uri]).encode()).decode()


def read_page_token(project: str, token: str) -> str:
    """The URI that the page comes after; empty for the first page.

    Raises:
        TroupeError: INVALID_PAGE_TOKEN.
    """
    if not token:
        return ""
    try:
        of_project, uri = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        of_project, uri = None, None
    if of_project != project or not isinstance(uri, str):
        problem = f"is not a page token of this project: {token[:80]!r}; begin again without one"
        raise TroupeError(
            ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
            f"`page_token` {problem}",
            violations=[FieldViolation("page_token", problem)],
        )
    return uri
