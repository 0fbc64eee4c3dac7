"""Messages of many calls, of which some cannot be read."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.plain_agents import framed
from troupe.agent.frames import Unreadable, UnreadableFrameError, calls_of, events_of
from troupe.api.agent.v1 import agent_service_pb2 as pb

_NO_TEXT = framed(2, framed(2, framed(1, b"\xff\xfe")))


def _event(call_id: int) -> pb.StepCallEvent:
    return pb.StepCallEvent(call_id=call_id, response=pb.ExecuteResponse(text_delta=pb.TextDelta(text="x")))


def _call(call_id: int) -> pb.StepCall:
    return pb.StepCall(call_id=call_id, start=pb.StartCall(request=pb.ExecuteRequest(task_id="t")))


@pytest.mark.parametrize(
    "poisoned",
    [
        b"\x08\x09" + _NO_TEXT,
        _NO_TEXT + b"\x08\x09",
        b"\x08\x09\x12\x20ab",
        b"\x08\x09\x0b",
        b"\x08\x09\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x08\x09" + framed(2, framed(7, framed(1, b"caf\xe9"))),
    ],
)
@given(before=st.lists(st.integers(10, 99), max_size=3), behind=st.lists(st.integers(10, 99), max_size=3))
def test_what_cannot_be_read_leaves_the_rest(poisoned: bytes, before: list[int], behind: list[int]) -> None:
    ids = [*before, 9, *behind]
    frame = b"".join(framed(1, poisoned if number == 9 else _event(number).SerializeToString()) for number in ids)
    found = list(events_of(frame))
    assert [each.call_id for each in found] == ids
    assert found[len(before)] == Unreadable(9)
    assert [each for each in found if not isinstance(each, Unreadable)] == [_event(n) for n in (*before, *behind)]


def test_calls_are_told_apart_as_events_are() -> None:
    frame = framed(1, _call(1).SerializeToString()) + framed(1, b"\x08\x02" + framed(2, framed(1, framed(1, b"\xff"))))
    assert list(calls_of(frame)) == [_call(1), Unreadable(2)]


@pytest.mark.parametrize("frame", [b"\xff", b"\x0a\x50ab", framed(1, b"\x12\x20ab"), framed(1, _NO_TEXT), b"\x0b"])
def test_a_frame_that_does_not_say_whose_it_is_is_refused_whole(frame: bytes) -> None:
    good = framed(1, _event(1).SerializeToString())
    with pytest.raises(UnreadableFrameError):
        list(events_of(good + frame))


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    for read in (calls_of, events_of):
        with contextlib.suppress(UnreadableFrameError):
            list(read(frame))
