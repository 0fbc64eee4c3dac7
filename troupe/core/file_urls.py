"""`file://` URLs as people read them."""

from typing import Final
from urllib.parse import unquote

_SCHEME: Final = "file://"


def file_path(uri: str) -> str:
    """The path that a file URL names; any other text as it is."""
    return unquote(uri.removeprefix(_SCHEME)) if uri.startswith(_SCHEME) else uri


def brief(uri: str) -> str:
    """The last two parts of the path that a file URL names; any other text as it is."""
    if not uri.startswith(_SCHEME):
        return uri
    return "/".join(unquote(part) for part in uri.removeprefix(_SCHEME).strip("/").split("/")[-2:])
