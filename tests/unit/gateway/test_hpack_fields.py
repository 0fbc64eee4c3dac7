"""Our reader of header blocks against the one of hpack."""

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire import hpack_fields
from gateway.wire.hpack_blocks import HeaderBlockError, Headers
from gateway.wire.hpack_fields import TableNeededError
from gateway.wire.request_blocks import RequestBlockReader

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
        if not fields.table_bytes:
            assert fields.headers == decoded(block)


@given(st.lists(st.tuples(st.binary(max_size=9), values), max_size=6), st.integers(0, 4096))
def test_a_client_with_a_table_of_any_size(extra: list[tuple[bytes, bytes]], table_bytes: int) -> None:
    client, reader = encoder(table_bytes), RequestBlockReader()
    for count in range(len(extra) + 1):
        headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
        headers += [(b"x-%b" % name.hex().encode(), value.hex().encode()) for name, value in extra[:count]]
        request = reader.read(client.encode(headers)).request
        assert request is not None
        assert request.headers[1:] == tuple(headers[4:])


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
        (b"\x82" * 2000, HeaderBlockError),
    ],
)
def test_broken_blocks(block: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        hpack_fields.read(block)
