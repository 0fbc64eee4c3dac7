"""What the gateway keeps of its callers: nothing that logs them in."""

import gc
from functools import _lru_cache_wrapper

import pytest

from troupe.gateway.wire import hpack_blocks, hpack_fields, http1, metadata, response_blocks
from troupe.gateway.wire.remembering import SECRET_NAMES, remembered
from troupe.gateway.wire.request_blocks import RequestBlockReader

PSEUDO = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"h"))


def kept(secret: bytes) -> list[object]:
    """Every object of the interpreter that holds the secret and is reached from a cache."""
    caches = [found for found in gc.get_objects() if isinstance(found, _lru_cache_wrapper)]
    seen: set[int] = set()
    todo: list[object] = list(caches)
    found: list[object] = []
    while todo:
        value = todo.pop()
        if (
            id(value) in seen
            or isinstance(value, type)
            or (callable(value) and not isinstance(value, _lru_cache_wrapper))
        ):
            continue
        seen.add(id(value))
        if isinstance(value, bytes | str) and secret in (
            value if isinstance(value, bytes) else value.encode(errors="replace")
        ):
            found.append(value)
        elif not isinstance(value, bytes | str | int):
            todo.extend(gc.get_referents(value))
    return found


@pytest.mark.parametrize("name", sorted(SECRET_NAMES))
def test_no_cache_holds_what_logs_a_caller_in(name: bytes) -> None:
    secret = b"geheim-" + name
    head = http1.parse_head(b"POST /a HTTP/1.1\r\nhost: h\r\nx-other: 1\r\n" + name.title() + b": " + secret)
    assert head.get(name) == secret
    assert (secret in metadata.request_block(head, b"/a", (), b"h")) == (name != b"proxy-authorization")
    for block in (hpack_blocks.encode((*PSEUDO, (name, secret))), hpack_blocks.encode(((name, secret),))):
        assert hpack_fields.decode(block)
        fields = RequestBlockReader().read(block)
        assert fields is not None
        if fields.request is not None:
            assert metadata.request_block(fields.request, b"/a", (), b"h")
    assert metadata.read_response(((b":status", b"200"), (name, secret)))
    assert secret in response_blocks.encode_trailers([(name, secret)])
    del head, fields, block
    assert kept(secret) == []


def test_the_rest_is_kept() -> None:
    head = b"POST /kept HTTP/1.1\r\nhost: h\r\nx-own: kept-value"
    assert http1.parse_head(head) is http1.parse_head(head)
    assert kept(b"kept-value")


def test_secrets_are_marked_for_whoever_is_on_the_way() -> None:
    assert hpack_blocks.encode([(b"authorization", b"x")])[:1] == b"\x10"
    assert hpack_blocks.encode([(b"accept", b"x")])[:1] == b"\x00"


def test_a_secret_result_is_worked_out_each_time_and_errors_pass() -> None:
    calls: list[int] = []

    def doubled(number: int) -> int:
        calls.append(number)
        if not number:
            raise ValueError("zero")
        return 2 * number

    known = remembered(doubled, most=4, secret=lambda result: result > 10)
    assert [known(1), known(1), known(6), known(6)] == [2, 2, 12, 12]
    assert calls == [1, 6, 6]
    with pytest.raises(ValueError, match="zero"):
        known(0)
