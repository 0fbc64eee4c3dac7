import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.gateway.wire import hpack_blocks, hpack_fields, http1, metadata
from troupe.gateway.wire.hpack_blocks import HeaderBlockError
from troupe.gateway.wire.status import Code

OWN = ((b"te", b"trailers"), (b"content-type", b"application/grpc+proto"), (b"grpc-timeout", b"1S"))
pairs = st.lists(st.tuples(st.binary(min_size=1, max_size=10), st.binary(max_size=300)))


@given(pairs)
def test_blocks_are_decoded_as_they_were_encoded(headers: list[tuple[bytes, bytes]]) -> None:
    assert hpack_fields.decode(hpack_blocks.encode(headers)) == tuple(headers)


@given(st.binary(max_size=100))
def test_any_block_is_decoded_or_refused(block: bytes) -> None:
    try:
        hpack_fields.decode(block)
    except HeaderBlockError:
        return


def test_request_headers_become_metadata() -> None:
    head = http1.parse_head(
        b"POST /s.S/M HTTP/1.1\r\nhost: h\r\norigin: o\r\nsec-fetch-mode: cors\r\n"
        b"content-type: application/grpc-web\r\ncontent-length: 5\r\nconnection: keep-alive\r\n"
        b"x-grpc-web: 1\r\nx-request-id: i\r\ngrpc-timeout: 1S\r\n"
        b"authorization: Bearer t\r\nx-a-bin: AAE\r\nx-a-bin: AAI"
    )
    assert hpack_fields.decode(metadata.request_block(head, b"/s.S/M", OWN, b"b:1")) == (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/s.S/M"),
        (b":authority", b"b:1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc+proto"),
        (b"grpc-timeout", b"1S"),
        (b"authorization", b"Bearer t"),
        (b"x-a-bin", b"AAE"),
        (b"x-a-bin", b"AAI"),
    )


def test_a_deadline_is_passed_on_only_by_who_has_read_it() -> None:
    head = http1.parse_head(b"POST /s.S/M HTTP/1.1\r\nhost: h\r\ngrpc-timeout: 1S\r\ngrpc-timeout: x")
    headers = hpack_fields.decode(metadata.request_block(head, b"/s.S/M", (), b"b:1"))
    assert headers is not None
    names = [name for name, _ in headers]
    assert b"grpc-timeout" not in names


def test_response_headers_are_sorted_by_meaning() -> None:
    block = metadata.read_response(
        (
            (b":status", b"200"),
            (b"content-type", b"application/grpc"),
            (b"x-a", b"1"),
            (b"content-length", b"9"),
            (b"grpc-status", b"5"),
            (b"grpc-message", b"no"),
            (b"x-split", b"a\r\nset-cookie: b"),
            (b"X-Upper", b"1"),
        )
    )
    assert (block.http_status, block.is_grpc, block.informational) == (200, True, False)
    assert block.metadata == ((b"x-a", b"1"),)
    assert block.status is not None
    assert block.status.pairs == ((b"grpc-status", b"5"), (b"grpc-message", b"no"))


def test_blanks_around_values_are_no_part_of_them() -> None:
    block = metadata.read_response(((b"x-a", b" \tb c "), (b"grpc-status", b" 5")))
    assert block.metadata == ((b"x-a", b"b c"),)
    assert block.status is not None
    assert block.status.pairs == ((b"grpc-status", b"5"),)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(b"no ", b"no%20"), (b" \tno", b"%20%09no"), (b"  ", b"%20%20"), (b"", b""), (b" a b ", b"%20a b%20")],
)
def test_blanks_around_a_message_belong_to_it(sent: bytes, kept: bytes) -> None:
    block = metadata.read_response(((b"grpc-status", b"5"), (b"grpc-message", sent)))
    assert block.status is not None
    assert dict(block.status.pairs)[b"grpc-message"] == kept
    assert block.status.message == sent.decode(), "what stands in the details too, which clients compare"


def test_status_of_a_server_that_is_no_grpc_server() -> None:
    block = metadata.read_response(((b":status", b"503"),))
    assert metadata.missing_status(block).code == b"14"
    assert metadata.missing_status(metadata.read_response(((b":status", b"200"),))).code == b"2"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_own_status_is_printable(message: str) -> None:
    status = metadata.grpc_status(Code.INTERNAL, message)
    assert all(0x20 <= byte <= 0x7E for _, value in status.pairs for byte in value)


def test_a_status_can_be_told_without_its_details() -> None:
    told = metadata.grpc_status(Code.NOT_FOUND, "no", b"CAU").without_details()
    assert told == metadata.grpc_status(Code.NOT_FOUND, "no")


@pytest.mark.parametrize("value", [b"", b"2", b"2000", b"-20", b"1" * 5000])
def test_http_statuses_that_are_none(value: bytes) -> None:
    assert metadata.read_response(((b":status", value),)).http_status == 0
