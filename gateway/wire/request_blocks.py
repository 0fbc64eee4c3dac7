"""Header blocks of HTTP/2 clients, read as request heads. RFC 9113, 8; RFC 7541."""

import re
from dataclasses import dataclass
from typing import Final

from hpack.table import HeaderTable

from troupe.gateway.wire import hpack_fields, http2
from troupe.gateway.wire.hpack_blocks import HeaderBlockError, Headers
from troupe.gateway.wire.remembering import logs_in, remembered
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.shown import shown

_CACHED_BYTES: Final = 4096
_FIRST_TABLE_BYTES: Final = 4096  # what clients may use until they have heard that there is no table
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_TARGET: Final = re.compile(rb"/[\x21-\x7e]*|\*")
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]+")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"(?![ \t])[^\x00-\x08\x0a-\x1f\x7f]*(?<![ \t])")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, eq=False)
class HeaderList:
    """What a block says: a request, or the trailers of one."""

    list_bytes: int
    """The size of the list as RFC 9113 counts it."""
    request: RequestHead | None
    content_length: int | None
    problem: str
    """Why it is no request, where it is none."""
    is_trailers: bool
    """Whether it can end a request."""


class _MalformedError(Exception):
    """The headers are no request."""


class RequestBlockReader:
    """Reads the blocks of one client, in order.

    Equal lists give the same object, whichever client sends them. That takes blocks that lean on no table, which holds
    for most before the client knows our settings, and for all afterwards.
    """

    __slots__ = ("_first", "_table", "_table_bytes")

    def __init__(self) -> None:
        self._table_bytes = _FIRST_TABLE_BYTES
        self._first: bytes | None = None  # the block that began a table; the table is made when another block comes
        self._table: HeaderTable | None = None

    @property
    def settled(self) -> bool:
        """Whether blocks stand for themselves, so that one can be left unread."""
        return self._table_bytes == 0

    def settle(self) -> None:
        """The client keeps no table from now on."""
        self._table_bytes = 0
        self._first = self._table = None

    def read(self, block: bytes) -> HeaderList | None:
        """Takes the next block; None where its headers are too many.

        Raises:
            HeaderBlockError: it is broken; what follows cannot be read.
        """
        if self._first is None and self._table is None:
            headers, keeps = (_read_alone if len(block) <= _CACHED_BYTES else _read_once)(block, self._table_bytes)
            if keeps:
                self._first = block
            return headers
        if self._table is None:
            self._table = HeaderTable()
            _read_with(self._table, self._first or b"")
        return _interpret(_read_with(self._table, block))


def _read_once(block: bytes, table_bytes: int) -> tuple[HeaderList | None, bool]:
    """What the first block of a table says, and whether blocks after it may lean on it."""
    try:
        fields = hpack_fields.read(block)
    except hpack_fields.TableNeededError:
        if not table_bytes:
            raise
        return _interpret(_read_with(HeaderTable(), block)), True
    if fields.most_table_bytes > table_bytes:
        raise HeaderBlockError("the table is made larger than it may be")
    keeps = fields.fills_table or fields.table_bytes not in (None, table_bytes)
    return _interpret(fields.headers), keeps and table_bytes > 0


_read_alone = remembered(_read_once, most=1024, secret=lambda read: _logs_in(read[0]))


def _read_with(table: HeaderTable, block: bytes) -> Headers | None:
    fields = hpack_fields.read(block, table)
    if fields.most_table_bytes > _FIRST_TABLE_BYTES:
        raise HeaderBlockError("the table is made larger than it may be")
    return fields.headers


def _interpret(headers: Headers | None) -> HeaderList | None:
    if headers is None:
        return None
    size = sum([len(name) + len(value) + hpack_fields.FIELD_OVERHEAD_BYTES for name, value in headers])
    return (_parse_cached if size <= _CACHED_BYTES else _parse)(headers, size)


def _logs_in(fields: HeaderList | None) -> bool:
    """Whether a block of a caller must not be kept; what is no request is read once only, too."""
    return fields is None or fields.request is None or logs_in(fields.request.headers)


def _parse(headers: Headers, size: int) -> HeaderList:
    is_trailers = all(not name.startswith(b":") and _well_formed(name, value) for name, value in headers)
    try:
        request = _request(headers)
        length = _content_length(request)
    except _MalformedError as error:
        return HeaderList(size, None, None, str(error), is_trailers)
    return HeaderList(size, request, length, "", is_trailers)


_parse_cached = remembered(_parse, most=1024, secret=_logs_in)


def _request(headers: Headers) -> RequestHead:
    pseudo: dict[bytes, bytes] = {}
    regular: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    for name, value in headers:
        if name.startswith(b":"):
            if regular or cookies or name in pseudo or name not in _PSEUDO:
                raise _MalformedError(f"the pseudo header {shown(name)} is unknown, doubled or late")
            pseudo[name] = value
        elif not _well_formed(name, value):
            raise _MalformedError(f"the header {shown(name)} cannot stand in HTTP/2")
        elif name == b"cookie":
            cookies.append(value)
        else:
            regular.append((name, value))
    if cookies:
        regular.append((b"cookie", b"; ".join(cookies)))
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if not (_METHOD.fullmatch(method) and _TARGET.fullmatch(target) and pseudo.get(b":scheme")):
        raise _MalformedError("`:method`, `:scheme` or `:path` is missing or broken")
    regular = _with_host(regular, pseudo.get(b":authority", b""))
    fields: dict[bytes, bytes] = {}
    for name, value in regular:
        fields[name] = b", ".join((fields[name], value)) if name in fields else value
    return RequestHead(method, target, tuple(regular), fields, True)


def _with_host(headers: list[tuple[bytes, bytes]], authority: bytes) -> list[tuple[bytes, bytes]]:
    hosts = [value for name, value in headers if name == b"host"]
    names = {*hosts, authority} if authority else set(hosts)
    # Two names of one server would let what is in front of the gateway be deceived.
    if len(hosts) > 1 or len(names) != 1 or not _VISIBLE.fullmatch(names.pop()):
        raise _MalformedError("`:authority` and `host` are missing, or not the same")
    return headers if hosts else [(b"host", authority), *headers]


def _content_length(request: RequestHead) -> int | None:
    length = request.fields.get(b"content-length")
    if length is not None and _DIGITS.fullmatch(length) is None:
        raise _MalformedError(f"`content-length` is {shown(length)}, which is no length")
    return None if length is None else int(length)


def _well_formed(name: bytes, value: bytes) -> bool:
    if name in http2.OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        return False
    return _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None
