"""What attackers do."""

from collections.abc import Iterable

import pytest
from h2.events import (
    ResponseReceived,
)

from tests.support.http2 import OK, Pair, Server, codes, raw, request
from troupe.gateway.wire import http2
from troupe.gateway.wire.http2 import Http2Error
from troupe.gateway.wire.http2_server import Http2Limits, ServerStream


def attack(server: Server, data: Iterable[bytes]) -> Http2Error:
    for piece in data:
        try:
            server.core.receive(piece)
        except Http2Error as error:
            return error
    pytest.fail("the attack went on")


def test_rapid_reset_ends_the_connection() -> None:
    server = raw()
    pairs = (request(n) + http2.rst_stream(n, http2.CANCEL) for n in range(1, 4001, 2))
    assert attack(server, pairs).code == http2.ENHANCE_YOUR_CALM
    assert len(server.exchanges) == 201
    assert server.core.open_streams == 0
    assert server.counters.rapid_resets == 1


def test_resets_that_the_server_is_led_to_send_count_too() -> None:
    server = raw()
    pairs = (request(n) + http2.window_update(n, 0) for n in range(1, 4001, 2))
    assert attack(server, pairs).code == http2.ENHANCE_YOUR_CALM
    assert len(server.exchanges) == 201


def test_a_client_that_lets_streams_end_may_break_as_many_off() -> None:
    def answer(stream: ServerStream) -> None:
        if stream.id % 4 == 1:
            stream.start(200, OK, length=0)
            stream.end()

    server = Server(answer)
    server.core.receive(http2.PREFACE + http2.settings({}))
    for n in range(1, 4001, 2):
        server.core.receive(request(n))
        if n % 4 == 3:
            server.core.receive(http2.rst_stream(n, http2.CANCEL))
    assert len(server.exchanges) == 2000


def test_resets_over_a_long_time_are_no_attack() -> None:
    server = raw()
    for n in range(1, 2001, 2):
        if n % 200 == 1:
            server.core.sweep(n / 10)
        server.core.receive(request(n) + http2.rst_stream(n, http2.CANCEL))
    assert len(server.exchanges) == 1000


@pytest.mark.parametrize(
    "frame",
    [
        http2.frame(http2.PING, 0, 0, b"x" * 8),
        http2.settings({http2.INITIAL_WINDOW_SIZE: 1}),
        http2.frame(http2.SETTINGS, http2.ACK, 0),
        http2.frame(http2.PRIORITY, 0, 1, b"x" * 5),
        http2.frame(http2.DATA, 0, 1),
        http2.frame(http2.DATA, http2.PADDED, 1, b"\x00"),
        http2.frame(http2.DATA, 0, 3, b"x"),
        http2.window_update(1, 1),
        http2.window_update(0, 1),
        http2.window_update(3, 5000),
        http2.rst_stream(3, 0),
        http2.frame(99, 0, 0),
        http2.goaway(0, 0),
    ],
)
def test_floods_of_frames_that_carry_nothing(frame: bytes) -> None:
    server = raw(Http2Limits(max_idle_frames=500))
    server.core.receive(request(1, end=False) + request(3) + http2.rst_stream(3, 0))
    assert attack(server, [frame * 10] * 60).code == http2.ENHANCE_YOUR_CALM
    assert server.counters.floods == 1


def test_a_few_such_frames_for_each_stream_that_ends_are_no_flood() -> None:
    def answer(stream: ServerStream) -> None:
        stream.start(200, OK, length=0)
        stream.end()

    server = Server(answer, Http2Limits(max_idle_frames=20))
    server.core.receive(http2.PREFACE + http2.settings({}))
    for n in range(1, 401, 2):
        server.core.receive(request(n) + http2.frame(http2.PING, 0, 0, b"x" * 8) + http2.window_update(n, 500))
    assert len(server.exchanges) == 200


def test_endless_continuations() -> None:
    server = raw()
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    error = attack(server, [http2.frame(http2.CONTINUATION, 0, 1, b"\x00" * 16_000)] * 2000)
    assert error.code == http2.ENHANCE_YOUR_CALM
    server = raw()
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    assert attack(server, [http2.frame(http2.CONTINUATION, 0, 1) * 100] * 200).code == http2.ENHANCE_YOUR_CALM


def test_a_stream_that_takes_nothing_is_broken_off() -> None:
    server = raw()
    server.core.receive(http2.settings({http2.INITIAL_WINDOW_SIZE: 0}) + request(1) + request(3))
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.write(b"x" * 10)
    server.core.sweep(20)
    server.core.receive(http2.window_update(3, 5))
    server.core.sweep(31)
    assert [exchange.heard for exchange in server.exchanges] == [["ended", "gone"], ["ended"]]
    server.core.sweep(51)
    assert server.counters.streams_stalled == 2
    assert server.core.open_streams == 0


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_body_that_trickles_is_cut_off_unless_it_is_a_stream(is_stream: bool) -> None:
    server = raw(limits=Http2Limits(takes_stream=lambda target: is_stream))
    server.core.receive(request(1, end=False))
    for second in (0, 20, 40):
        server.core.sweep(second)
        server.core.receive(http2.frame(http2.DATA, 0, 1, b"x"))
    assert server.counters.bodies_timed_out == (not is_stream)


def test_a_client_that_reads_nothing_is_left() -> None:
    server = raw()
    server.core.receive(request(1))
    server.core.hold()
    server.core.sweep(29)
    with pytest.raises(Http2Error):
        server.core.sweep(31)
    assert server.counters.connections_stalled == 1


def test_a_body_that_does_not_come_is_answered() -> None:
    pair = Pair()
    pair.request(end=False)
    pair.request(end=False)
    pair.turn()
    pair.exchanges[1].stream.start(200, OK)  # both sides talk as they like
    pair.core.sweep(31)
    events = pair.turn()
    assert [e.stream_id for e in events if isinstance(e, ResponseReceived)] == [3, 1]
    assert codes(events) == [(1, http2.NO_ERROR)]
    assert pair.exchanges[0].heard == ["gone"]
    assert pair.core.open_streams == 1


def test_a_preface_or_a_header_block_that_never_ends() -> None:
    server = Server()
    server.core.receive(http2.PREFACE[:20])
    with pytest.raises(Http2Error):
        server.core.sweep(11)
    server = raw()
    server.core.sweep(1)
    server.core.receive(http2.frame(http2.HEADERS, 0, 1, b""))
    with pytest.raises(Http2Error):
        server.core.sweep(12)
