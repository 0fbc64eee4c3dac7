import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.test_framing import cuts, pieces
from troupe.gateway.wire import http1
from troupe.gateway.wire.http1 import BadRequestError, ChunkedBody, FixedBody

tokens = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=12).map(str.encode)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20).map(str.encode)


@given(st.lists(st.tuples(tokens.map(lambda name: b"x-" + name), values)))
def test_headers_are_read_as_they_stand(headers: list[tuple[bytes, bytes]]) -> None:
    lines = [b"%b:  %b \t" % pair for pair in headers]
    head = http1.parse_head(b"\r\n".join([b"POST /a HTTP/1.1", b"Host: h", *lines]))
    assert head.headers == ((b"host", b"h"), *headers)
    assert (head.method, head.target, head.keep_alive) == (b"POST", b"/a", True)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    try:
        head = http1.parse_head(data)
    except BadRequestError as error:
        assert error.status in (400, 431, 501, 505)  # noqa: PT017 - both ends are fine
    else:
        assert b"\n" not in b"".join(name + value for name, value in head.headers)


def test_headers_of_one_name_are_joined() -> None:
    head = http1.parse_head(b"GET / HTTP/1.1\r\nhost: h\r\nx: a\r\nX: b")
    assert head.get(b"x") == b"a, b"
    assert head.headers == ((b"host", b"h"), (b"x", b"a"), (b"x", b"b"))


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [(b"1.1", b"keep-alive", True), (b"1.1", b"Close", False), (b"1.0", b"x", False), (b"1.0", b"Keep-Alive", True)],
)
def test_keep_alive(version: bytes, connection: bytes, keep_alive: bool) -> None:
    head = http1.parse_head(b"GET / HTTP/%b\r\nhost: h\r\nconnection: %b" % (version, connection))
    assert head.keep_alive is keep_alive


@given(st.binary(max_size=60), st.binary(max_size=20), cuts)
def test_fixed_body_ends_at_its_length(body: bytes, behind: bytes, sizes: list[int]) -> None:
    check(FixedBody(len(body)), body, body, behind, sizes)


@given(st.lists(st.binary(min_size=1, max_size=20)), st.binary(max_size=20), st.booleans(), cuts)
def test_chunked_body_is_put_together(parts: list[bytes], behind: bytes, trailers: bool, sizes: list[int]) -> None:
    wire = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n"
    wire += b"x-trailer: 1\r\n\r\n" if trailers else b"\r\n"
    check(ChunkedBody(), wire, b"".join(parts), behind, sizes)


def check(reader: http1.Body, wire: bytes, body: bytes, behind: bytes, sizes: list[int]) -> None:
    got, rest, parts = b"", None, pieces(wire + behind, sizes) or [b""]
    while rest is None:
        part, rest = reader.feed(parts.pop(0))
        got += part
    assert got == body
    assert rest + b"".join(parts) == behind


@pytest.mark.parametrize(
    "wire", [b"zz\r\n", b"-1\r\n", b"\r\n", b"1\r\nab\r\n", b"1\r\na\n\n", b"1" * 300, b"0x1\r\n", b"1 1\r\n"]
)
def test_chunks_that_are_none(wire: bytes) -> None:
    with pytest.raises(BadRequestError):
        ChunkedBody().feed(wire)


def test_endless_trailers_are_refused() -> None:
    with pytest.raises(BadRequestError):
        ChunkedBody().feed(b"0\r\n" + b"x" * 5000)


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        (b"1.1", b"host: a\r\nhost: a"),
        (b"1.0", b"host: a\r\nhost: b"),
        (b"1.0", b"transfer-encoding: chunked"),
        (b"1.0", b"connection: keep-alive\r\ntransfer-encoding: chunked"),
    ],
)
def test_heads_that_others_could_read_otherwise(version: bytes, lines: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        http1.parse_head(b"POST / HTTP/%b\r\n%b" % (version, lines))
    assert caught.value.status == 400


def test_header_lines_are_counted() -> None:
    head = b"GET / HTTP/1.1\r\nhost: a" + b"\r\nx:" * 255
    assert len(http1.parse_head(head).headers) == 256
    with pytest.raises(BadRequestError) as caught:
        http1.parse_head(head + b"\r\nx:")
    assert caught.value.status == 431


def test_blanks_before_a_bad_byte_take_no_time() -> None:
    head = b"GET / HTTP/1.1\r\nhost: a\r\nx:" + b" " * 16_000 + b"\x01"
    started = time.thread_time()
    with pytest.raises(BadRequestError):
        http1.parse_head(head)
    assert time.thread_time() - started < 0.1  # more than a second when each blank is tried in two places


def test_tiny_chunks_are_not_copied_again_for_each() -> None:
    def seconds(count: int) -> float:
        wire = b"1\r\na\r\n" * count
        started = time.thread_time()
        assert ChunkedBody().feed(wire) == (b"a" * count, None)
        return time.thread_time() - started

    few = min(seconds(10_000) for _ in range(3))
    assert seconds(80_000) < 8 * few * 4


@pytest.mark.parametrize("size", [255, 256, 257])
def test_longest_chunk_line_however_it_is_cut(size: int) -> None:
    wire = b"1;".ljust(size, b"x") + b"\r\na\r\n0\r\n\r\n"

    def body(parts: list[bytes]) -> bytes | None:
        reader = ChunkedBody()
        try:
            return b"".join([reader.feed(part)[0] for part in parts])
        except BadRequestError:
            return None

    assert body([wire]) == body(pieces(wire, [1])) == (b"a" if size <= 256 else None)


def test_trailers_that_are_none() -> None:
    with pytest.raises(BadRequestError):
        ChunkedBody().feed(b"0\r\nGET / HTTP/1.1\r\n")


def test_many_short_trailers_are_refused() -> None:
    reader = ChunkedBody()
    reader.feed(b"0\r\n" + b"a:\r\n" * 1000)
    with pytest.raises(BadRequestError) as caught:
        reader.feed(b"a:\r\n" * 25)
    assert caught.value.status == 431
