"""Windows: what waits for them, and in which order it goes on."""

from h2.events import (
    DataReceived,
    Event,
    StreamEnded,
    TrailersReceived,
    WindowUpdated,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http2 import OK, Pair, body_of, raw, request
from troupe.gateway.wire import http2


def test_the_window_is_given_back_as_the_body_is_taken() -> None:
    pair = Pair()
    pair.request(end=False)
    pair.client.send_data(1, b"x" * 16_000)
    assert not [e for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id]
    stream = pair.exchanges[0].stream
    stream.pause_body()
    for _ in range(3):
        pair.client.send_data(1, b"x" * 16_000)
    assert not [e for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id]
    stream.resume_body()
    assert [e.delta for e in pair.turn() if isinstance(e, WindowUpdated) and e.stream_id] == [64_000]


def test_a_client_that_overruns_the_window_of_a_stream_ends_that_stream() -> None:
    server = raw()
    server.core.receive(request(1, end=False) + request(3))
    server.exchanges[0].stream.pause_body()
    server.core.receive(http2.data_frames(1, b"x" * 65_536, end=False, max_frame_bytes=16_384))
    server.said()
    server.core.receive(http2.frame(http2.DATA, 0, 1, b"x"))
    assert server.said() == http2.rst_stream(1, http2.FLOW_CONTROL_ERROR)
    assert [exchange.heard for exchange in server.exchanges] == [["gone"], ["ended"]]


def test_a_slow_stream_is_congested_and_holds_up_no_other() -> None:
    pair = Pair()
    pair.request()
    pair.request()
    pair.client.increment_flow_control_window(1 << 20)
    pair.turn()
    slow, quick = pair.exchanges
    for exchange in (slow, quick):
        exchange.stream.start(200, OK)
    slow.stream.write(b"s" * 65_535)
    slow.stream.write(b"s" * 32_768)
    assert not slow.stream.congested
    slow.stream.write(b"s")
    assert slow.stream.congested
    quick.stream.end(b"q" * 1000)
    events = pair.turn()
    assert (len(body_of(events, 1)), len(body_of(events, 3))) == (65_535, 1000)
    slow.stream.end(b"", [(b"t", b"1")])
    assert not [e for e in pair.turn() if isinstance(e, StreamEnded)]
    pair.client.increment_flow_control_window(1 << 20, 1)
    events = pair.turn()
    assert len(body_of(events, 1)) == 32_769
    assert any(isinstance(e, TrailersReceived) for e in events)
    assert pair.core.open_streams == 0


def test_upload_hears_when_the_client_has_caught_up() -> None:
    pair = Pair()
    pair.request()
    pair.turn()
    exchange = pair.exchanges[0]
    exchange.stream.start(200, OK)
    exchange.stream.write(b"s" * 200_000)
    while exchange.stream.congested:
        for event in pair.turn():
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                pair.client.acknowledge_received_data(event.flow_controlled_length, 1)
        assert exchange.heard == ["ended"]
    while exchange.heard == ["ended"]:
        for event in pair.turn():
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                pair.client.acknowledge_received_data(event.flow_controlled_length, 1)
    assert exchange.heard == ["ended", "writable"]


def test_streams_take_turns_when_the_window_of_the_connection_opens() -> None:
    server = raw()
    server.core.receive(b"".join([request(stream_id) for stream_id in (1, 3, 5)]))
    server.core.receive(b"".join([http2.window_update(stream_id, 1 << 20) for stream_id in (1, 3, 5)]))
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.end(b"x" * 100_000)
    server.said()
    server.core.receive(http2.window_update(0, 16_384 * 3))
    assert sorted(data_frames(server.said())) == [1, 3, 5]


def data_frames(data: bytes) -> list[int]:
    """The streams of the DATA frames, in order."""
    streams, position = [], 0
    while position < len(data):
        length, _, stream_id = http2.FRAME_HEADER.unpack_from(data, position)
        if length & 0xFF == http2.DATA:
            streams.append(stream_id)
        position += 9 + (length >> 8)
    return streams


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "grant", "widen", "first", "hold", "release"]), st.integers(0, 2),
                  st.integers(1, 40_000)),
        max_size=30,
    )
)  # fmt: skip
def test_what_is_written_arrives_in_order_whatever_the_windows(steps: list[tuple[str, int, int]]) -> None:
    pair = Pair()
    pair.client.update_settings({4: 1000})
    for _ in range(3):
        pair.request()
    pair.turn()
    written = [b"", b"", b""]
    events: list[Event] = []
    for exchange in pair.exchanges:
        exchange.stream.start(200, OK)
    for step, index, size in steps:
        if step == "write":
            data = bytes((len(written[index]) + n) % 251 for n in range(size))
            pair.exchanges[index].stream.write(data)
            written[index] += data
        else:
            move(pair, step, index, size)
        events += pair.turn()
    for index, exchange in enumerate(pair.exchanges):
        exchange.stream.end(b"last", [(b"t", b"%d" % index)])
    pair.core.release()
    pair.client.increment_flow_control_window(1 << 24)
    for index, exchange in enumerate(pair.exchanges):
        if exchange.stream.pending:
            pair.client.increment_flow_control_window(1 << 24, 2 * index + 1)
    events += pair.turn()
    for index in range(3):
        own = [e for e in events if getattr(e, "stream_id", None) == 2 * index + 1]
        assert body_of(own, 2 * index + 1) == written[index] + b"last"
        assert isinstance(own[-2], TrailersReceived)
        assert isinstance(own[-1], StreamEnded)
    assert pair.core.open_streams == 0


def move(pair: Pair, step: str, index: int, size: int) -> None:
    match step:
        case "grant":
            pair.client.increment_flow_control_window(size)
        case "widen":
            pair.client.increment_flow_control_window(size, 2 * index + 1)
        case "first":
            pair.client.update_settings({4: size})
        case "hold":
            pair.core.hold()
        case _:
            pair.core.release()


def test_a_full_socket_lets_data_wait() -> None:
    pair = Pair()
    pair.request()
    pair.turn()
    exchange = pair.exchanges[0]
    exchange.stream.start(200, OK)
    pair.core.hold()
    assert exchange.stream.congested
    exchange.stream.write(b"abc")
    assert body_of(pair.turn(), 1) == b""
    pair.core.release()
    assert body_of(pair.turn(), 1) == b"abc"
    assert exchange.heard[1:] in (["writable"], ["writable", "writable"])


def test_a_socket_that_takes_data_again_is_not_given_all_of_it() -> None:
    server = raw()
    server.core.receive(http2.window_update(0, 1 << 24) + http2.settings({http2.INITIAL_WINDOW_SIZE: 1 << 24}))
    server.core.receive(b"".join([request(stream_id) for stream_id in range(1, 41, 2)]))
    server.core.hold()
    for exchange in server.exchanges:
        exchange.stream.start(200, OK)
        exchange.stream.write(b"x" * 100_000)
    server.said()
    server.room = 100_000
    server.core.release()
    assert 100_000 < len(server.said()) < 250_000
    assert server.core.full


def test_a_change_of_the_first_window_moves_every_stream() -> None:
    pair = Pair()
    pair.client.update_settings({4: 10})
    pair.request()
    pair.turn()
    stream = pair.exchanges[0].stream
    stream.start(200, OK)
    stream.end(b"x" * 30)
    assert len(body_of(pair.turn(), 1)) == 10
    pair.client.update_settings({4: 25})
    assert len(body_of(pair.turn(), 1)) == 15
    pair.client.update_settings({4: 0})
    pair.turn()
    pair.client.update_settings({4: 40})
    assert len(body_of(pair.turn(), 1)) == 5
