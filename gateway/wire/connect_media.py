"""The media types of the Connect protocol, and the query of its GET requests.

https://connectrpc.com/docs/protocol/
"""

import binascii
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from troupe.gateway.wire.dialect import RequestError

CODECS: Final = (b"proto", b"json")
_FORM: Final = re.compile(
    rb"application/(connect\+)?(proto|json)[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*(?:utf-?8|\"utf-?8\")[ \t]*)?;?[ \t]*",
    re.IGNORECASE,
)
_CHARSET: Final = re.compile(rb";[ \t]*charset[ \t]*=[ \t]*(\"[^\"]*\"|[^;\"\s]+)", re.IGNORECASE)
# A plus sign that was not escaped has become a space.
_FROM_URL: Final = bytes.maketrans(b"-_ ", b"+/+")


@dataclass(frozen=True, slots=True)
class ConnectMedia:
    """How the bodies of a call are written."""

    codec: bytes
    """What the messages are: `proto` or `json`."""
    stream: bool
    """Whether the bodies are streams of messages."""

    @property
    def content_type(self) -> bytes:
        """Of the response too."""
        return b"application/" + (b"connect+" if self.stream else b"") + self.codec

    @property
    def json(self) -> bool:
        """Whether messages have to be translated."""
        return self.codec == b"json"


def parse_connect_media(content_type: bytes) -> ConnectMedia | None:
    """Reads a `content-type`; None when it is none of Connect's."""
    match = _FORM.fullmatch(content_type)
    return None if match is None else ConnectMedia(match[2].lower(), match[1] is not None)


def charset_of(content_type: bytes) -> bytes:
    """The charset that a `content-type` names, empty where it names none."""
    match = _CHARSET.search(content_type)
    return b"" if match is None else match[1].strip(b'"')


@dataclass(frozen=True, slots=True)
class ConnectQuery:
    """A call in the query of a GET request."""

    text: bytes | None
    base64: bool
    codec: bytes
    compression: bytes
    version: bytes

    def message(self) -> bytes:
        """The message as it would stand in a body.

        Raises:
            RequestError: there is none, or it is not the base64 that it should be.
        """
        if self.text is None:
            raise RequestError("the query has no `message`; `message=` stands for an empty one")
        return _decode(self.text) if self.base64 else self.text


def parse_connect_query(query: bytes) -> ConnectQuery:
    """Reads what stands behind the question mark."""
    fields = dict(map(_field, query.split(b"&")))
    return ConnectQuery(
        text=fields.get(b"message"),
        base64=fields.get(b"base64") == b"1",
        codec=fields.get(b"encoding", b""),
        compression=fields.get(b"compression", b""),
        version=fields.get(b"connect", b""),
    )


def _field(pair: bytes) -> tuple[bytes, bytes]:
    name, _, value = pair.partition(b"=")
    return name, unquote_to_bytes(value.replace(b"+", b" "))


def _decode(text: bytes) -> bytes:
    """Base64 for URLs, padded or not; that for bodies is understood too."""
    text = text.translate(_FROM_URL).rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as error:
        raise RequestError(f"the query's `message` is not base64, as `base64=1` says that it is: {error}") from None
