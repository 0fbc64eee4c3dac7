"""As much of HTTP/1.1 as the admin port speaks: requests without a body, responses of known length."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self

MAX_HEAD_BYTES: Final = 8 << 10
_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")


class BadRequestError(Exception):
    """What came is not a request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Reads what ends with an empty line."""
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        line = _LINE.fullmatch(first)
        if line is None:
            raise BadRequestError("not an HTTP/1.1 request line")
        headers = dict(_header(each) for each in lines)
        path = line[2].partition(b"?")[0].decode()
        return cls(line[1].decode(), path, headers, _keeps(headers, minor=line[3]))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, keep_alive: bool, body: bool = True) -> bytes:
        """The bytes to send; a HEAD request gets them without the body."""
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Cache-Control": "no-store",
            "Connection": "keep-alive" if keep_alive else "close",
            **self.headers,
        }
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return head.encode() + b"\r\n" + (self.body if body else b"")


def _header(line: bytes) -> tuple[str, str]:
    header = _HEADER.fullmatch(line)
    if header is None:
        raise BadRequestError("not an HTTP header")
    return header[1].decode().lower(), header[2].decode("latin-1").strip()


def _keeps(headers: Mapping[str, str], *, minor: bytes) -> bool:
    """A connection ends after a request with a body: nothing here reads one."""
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return False
    wish = headers.get("connection", "").lower()
    return wish != "close" and (minor == b"1" or wish == "keep-alive")
