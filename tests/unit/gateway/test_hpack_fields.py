"""Our reader of header blocks against the one of hpack."""

import pytest
from hpack import Decoder, Encoder, HPACKError
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from troupe.gateway.wire import hpack_fields
from troupe.gateway.wire.hpack_blocks import HeaderBlockError, Headers
from troupe.gateway.wire.hpack_fields import TableNeededError
from troupe.gateway.wire.request_blocks import RequestBlockReader

names = st.sampled_from([b":method", b":path", b"accept", b"x-own", b"cookie"]) | st.binary(max_size=20)
values = st.sampled_from([b"GET", b"/", b"gzip, deflate", b""]) | st.binary(max_size=300)
lists = st.lists(st.tuples(names, values), max_size=8)


def encoder(table_bytes: int) -> Encoder:
    made = Encoder()
    made.header_table_size = table_bytes
    return made


def decoded(block: bytes) -> Headers | None:
    decoder = Decoder()
    decoder.max_allowed_table_size = decoder.header_table_size = 0
    try:
        return tuple([(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)])
    except HPACKError:
        return None


@given(lists, st.booleans())
def test_what_was_encoded_is_read(headers: list[tuple[bytes, bytes]], huffman: bool) -> None:
    fields = hpack_fields.read(encoder(0).encode(headers, huffman=huffman))
    assert fields.headers == tuple(headers)
    assert fields.list_bytes == sum(len(name) + len(value) + 32 for name, value in headers)
    assert fields.table_bytes == 0


@settings(max_examples=500)
@given(st.binary(max_size=60) | lists.map(lambda headers: bytes(encoder(0).encode(headers))[1:-1]))
def test_any_bytes_are_read_like_hpack_reads_them(block: bytes) -> None:
    try:
        fields = hpack_fields.read(block)
    except HeaderBlockError:
        assert decoded(block) is None
    else:
        if not fields.most_table_bytes:
            assert fields.headers == decoded(block)


@given(st.lists(st.tuples(st.binary(max_size=9), values), max_size=6), st.integers(0, 4096))
def test_a_client_with_a_table_of_any_size(extra: list[tuple[bytes, bytes]], table_bytes: int) -> None:
    client, reader = encoder(table_bytes), RequestBlockReader()
    for count in range(len(extra) + 1):
        headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
        headers += [(b"x-%b" % name.hex().encode(), value.hex().encode()) for name, value in extra[:count]]
        read = reader.read(client.encode(headers))
        assert read is not None
        assert read.request is not None
        assert read.request.headers[1:] == tuple(headers[4:])


@settings(max_examples=300)
@given(st.lists(lists | st.binary(max_size=30), max_size=6), st.booleans())
def test_blocks_that_lean_on_a_table_are_read_like_hpack_reads_them(
    blocks: list[list[tuple[bytes, bytes]] | bytes], huffman: bool
) -> None:
    client, table, theirs = encoder(4096), HeaderTable(), Decoder()
    for each in blocks:
        block = each if isinstance(each, bytes) else bytes(client.encode(each, huffman=huffman))
        try:
            expected = tuple([(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)])
        except HPACKError:
            return
        try:
            fields = hpack_fields.read(block, table)
        except HeaderBlockError:
            return  # hpack takes numbers of any length
        assert fields.headers == expected
        assert list(table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


@pytest.mark.parametrize("long", [[(b"x-long", b"y" * 66_000)], [(b"x-%d" % n, b"y" * 200) for n in range(400)]])
def test_a_list_that_is_too_long_still_changes_the_table(long: list[tuple[bytes, bytes]]) -> None:
    client, reader = encoder(4096), RequestBlockReader()
    request = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
    for extra in ([(b"x-first", b"1")], long, [(b"x-first", b"1"), (b"x-last", b"2")], long, [(b"x-last", b"2")]):
        read = reader.read(client.encode([*request, *extra], huffman=False))
        assert (read is None) == (extra is long)
        assert read is None or (read.request is not None and read.request.headers[1:] == tuple(extra))


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (b"\xbe", TableNeededError),
        (b"\x7e\x01a", TableNeededError),
        (b"\x80", HeaderBlockError),
        (b"\x82\x20", HeaderBlockError),
        (b"\xff\xff\xff\xff\xff\xff", HeaderBlockError),
        (b"\x00\x05ab", HeaderBlockError),
        (b"\x00\x01", HeaderBlockError),
        (b"\x00\x81\x00\x00", HeaderBlockError),
        (b"\x82" * 2000 + b"\x80", HeaderBlockError),
    ],
)
def test_broken_blocks(block: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        hpack_fields.read(block)


@pytest.mark.parametrize("count", [1490, 2000])
def test_more_headers_than_are_taken(count: int) -> None:
    assert (hpack_fields.decode(b"\x82" * count) is None) == (count * 42 > 64 << 10)
    assert (hpack_fields.read(b"\x82" * count).headers is None) == (count * 42 > 64 << 10)
