import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.gateway.wire.framing import (
    FramingError,
    MessageBoundary,
    MessageScanner,
    MessageTooLargeError,
    trailers_frame,
)
from troupe.gateway.wire.text import TextDecoder, encode_text

messages = st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=50)))
cuts = st.lists(st.integers(1, 9), min_size=1)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    parts: list[bytes] = []
    while data:
        size = sizes[len(parts) % len(sizes)]
        parts.append(data[:size])
        data = data[size:]
    return parts


def decode(text: bytes) -> bytes:
    decoder = TextDecoder()
    return decoder.feed(text) + decoder.close()


@given(messages, cuts)
def test_scanner_takes_whole_messages_however_they_are_cut(parts: list[tuple[int, bytes]], sizes: list[int]) -> None:
    body = b"".join(struct.pack(">BI", flag, len(payload)) + payload for flag, payload in parts)
    scanner = MessageScanner(max_message_bytes=50)
    for piece in pieces(body, sizes):
        scanner.feed(piece)
    scanner.close()


@given(st.binary(min_size=1, max_size=50), st.integers(1, 54), cuts)
def test_scanner_refuses_a_body_that_ends_early(payload: bytes, keep: int, sizes: list[int]) -> None:
    body = struct.pack(">BI", 0, len(payload)) + payload
    scanner = MessageScanner(max_message_bytes=50)
    for piece in pieces(body[: min(keep, len(body) - 1)], sizes):
        scanner.feed(piece)
    with pytest.raises(FramingError):
        scanner.close()


@given(messages, st.integers(0, 2000), cuts)
def test_boundary_knows_whether_the_last_message_is_whole(
    parts: list[tuple[int, bytes]], keep: int, sizes: list[int]
) -> None:
    encoded = [struct.pack(">BI", flag, len(payload)) + payload for flag, payload in parts]
    ends = {sum(map(len, encoded[:count])) for count in range(len(encoded) + 1)}
    body = b"".join(encoded)[:keep]
    boundary = MessageBoundary()
    for piece in pieces(body, sizes):  # of at most nine bytes, so of no more than two headers
        boundary.feed(piece)
    assert boundary.reached == (len(body) in ends)


def test_boundary_gives_up_in_a_flood() -> None:
    boundary = MessageBoundary()
    boundary.feed(trailers_frame([]) * 16)
    assert boundary.reached
    boundary.feed(trailers_frame([]) * 17)
    assert not boundary.reached


@given(st.integers(2, 255))
def test_scanner_refuses_unknown_flags(flags: int) -> None:
    with pytest.raises(FramingError):
        MessageScanner(max_message_bytes=9).feed(bytes([flags, 0, 0, 0, 0]))


def test_scanner_refuses_long_messages_by_their_header() -> None:
    MessageScanner(max_message_bytes=9).feed(b"\x00\x00\x00\x00\x09")
    with pytest.raises(MessageTooLargeError, match="10 bytes; at most 9"):
        MessageScanner(max_message_bytes=9).feed(b"\x00\x00\x00\x00\x0a")


def test_trailers_frame() -> None:
    frame = trailers_frame([(b"grpc-status", b"0"), (b"x", b"y")])
    assert frame == b"\x80\x00\x00\x00\x16grpc-status: 0\r\nx: y\r\n"


@given(st.lists(st.binary(max_size=20)), cuts)
def test_text_is_decoded_however_it_is_padded_and_cut(parts: list[bytes], sizes: list[int]) -> None:
    text = b"".join(map(encode_text, parts))
    decoder = TextDecoder()
    decoded = b"".join([*map(decoder.feed, pieces(text, sizes)), decoder.close()])
    assert decoded == b"".join(parts)


@given(st.binary(max_size=20))
def test_last_padding_may_be_missing(data: bytes) -> None:
    assert decode(base64.b64encode(data).rstrip(b"=")) == data


@pytest.mark.parametrize("text", [b"!!!!", b"AA=A", b"====", b"A", b"AAAAA", b"AA\r\n", b"AAA=A"])
def test_text_that_is_no_base64(text: bytes) -> None:
    with pytest.raises(FramingError):
        decode(text)


@given(st.binary(max_size=40))
def test_any_text_is_decoded_or_refused(text: bytes) -> None:
    try:
        decode(text)
    except FramingError:
        return


def test_text_that_is_padded_inside_a_group_is_refused_however_it_is_cut() -> None:
    for size in (20, 11, 4, 1):
        decoder = TextDecoder()
        with pytest.raises(FramingError):
            [decoder.feed(piece) for piece in pieces(b"Q4qnBpQQ==mcD2QZQA==", [size])]
