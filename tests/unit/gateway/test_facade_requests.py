"""Whatever a client sends is read, or refused in words."""

import json

import pytest
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given
from hypothesis import strategies as st

from troupe.gateway.facades.commands import COMMANDS, Order
from troupe.gateway.facades.failure import Failure
from troupe.gateway.facades.messages import MessageReader
from troupe.gateway.facades.requests import RUN_TASK_FIELDS, run_task
from troupe.gateway.faults import of_request
from troupe.gateway.wire.dialect import RequestError
from troupe.gateway.wire.framing import message_frame
from troupe.gateway.wire.metadata import GrpcStatus
from troupe.gateway.wire.request import RequestHead
from troupe.gateway.wire.status import Code

# Surrogates too: JSON can write them, and UTF-8 cannot.
TEXTS = st.text(st.characters(codec=None), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def objects(*names: str) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(names) | TEXTS, VALUES, max_size=4)


@given(st.binary(max_size=40) | objects(*RUN_TASK_FIELDS).map(lambda fields: json.dumps(fields).encode()))
def test_bodies(body: bytes) -> None:
    problem = None
    try:
        assert run_task(body).task.input == json.loads(body)["user_input"]
    except RequestError as error:
        problem = error
    if problem is not None:
        failure = Failure.of(of_request(problem))
        assert failure is not None
        assert failure.message == str(problem)
        assert json.loads(failure.json().encode())["error"]["code"] == "INVALID_ARGUMENT"


@given(
    TEXTS
    | st.dictionaries(st.sampled_from(list(COMMANDS)), objects("reason", "step_id", "decision"), max_size=2).map(
        json.dumps
    )
)
def test_messages(text: str) -> None:
    try:
        order = Order.read(text, "t")
    except RequestError as error:
        Failure.of_request(error).json().encode()
    else:
        assert order.request.task_id == "t"
        head = RequestHead(b"GET", b"/ws/t", (), {}, http2=False)
        dialect = order.asked(head, max_response_bytes=100).dialect
        assert dialect.request_end() == message_frame(order.request.SerializeToString())


@given(st.lists(st.binary(max_size=20), max_size=6), st.data())
def test_messages_are_cut_wherever_the_pieces_end(messages: list[bytes], data: st.DataObject) -> None:
    body = b"".join([message_frame(BytesValue(value=message).SerializeToString()) for message in messages])
    reader, found, position = MessageReader(BytesValue, max_response_bytes=100), [], 0
    while position < len(body):
        size = data.draw(st.integers(1, len(body) - position))
        found += reader.feed(body[position : position + size])
        position += size
    assert [message.value for message in found] == messages


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_any_status_is_an_error_in_json(code: bytes, message: bytes, details: bytes) -> None:
    failure = Failure.of(
        GrpcStatus(code, ((b"grpc-message", message), (b"grpc-status-details-bin", details), (b"grpc-status", code)))
    )
    if code != b"0":
        assert failure is not None
        assert json.loads(failure.json().encode())["error"]["code"] == failure.code.name


def test_a_body_of_many_fields_of_which_the_last_stands_twice() -> None:
    fields = [f'"k{number}":0' for number in range(200_000)]
    body = ("{" + ",".join([*fields, fields[-1]]) + "}").encode()
    with pytest.raises(RequestError, match="'k199999' stands twice"):  # long before the test's time is up
        run_task(body)


@pytest.mark.parametrize("code", [b"9" * 5000, b"17", b"-1", b"00", b"\xb2", b""])
def test_a_status_that_is_none_is_unknown(code: bytes) -> None:
    failure = Failure.of(GrpcStatus(code, ()))
    assert failure is not None
    assert failure.code is Code.UNKNOWN
