"""How slowly the body of a request may come."""

from collections.abc import Iterable

import pytest

from troupe.gateway.methods import Methods
from troupe.gateway.wire.body_pace import BodyPace

SPAN_SECONDS = 30


def late_at(pieces: Iterable[tuple[int, int]], *, is_stream: bool = False) -> int | None:
    """The second in which a body is found to be late whose pieces come at these seconds; None where it never is."""
    pace, sizes = BodyPace(0), dict(pieces)
    for second in range(1, 1000):
        if second in sizes:
            pace.heard(sizes[second], second)
        if pace.is_late(second, SPAN_SECONDS, is_stream=lambda: is_stream):
            return second
    return None


def test_a_body_that_stops_is_late() -> None:
    assert late_at([]) == 31
    assert late_at([(10, 5000)]) == 41
    assert late_at([(10, 1)], is_stream=True) == 41


def test_bytes_one_by_one_are_too_slow() -> None:
    assert late_at((second, 1) for second in range(0, 1000, 29)) == 31


def test_a_kibibyte_in_each_span_is_enough() -> None:
    assert late_at((second, 512) for second in range(0, 1000, 15)) is None


def test_messages_of_a_stream_may_be_small() -> None:
    assert late_at(((second, 5) for second in range(0, 1000, 29)), is_stream=True) is None


def test_a_pause_that_was_not_the_clients_does_not_count() -> None:
    pace = BodyPace(0)
    pace.restart(25)
    assert not pace.is_late(55, SPAN_SECONDS, is_stream=lambda: False)
    assert pace.is_late(56, SPAN_SECONDS, is_stream=lambda: False)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/troupe.api.orchestrator.v1.OrchestratorService/SubmitTask", False),
        (b"/troupe.api.orchestrator.v1.OrchestratorService/SubmitTask?connect=v1", False),
        (b"/troupe.api.orchestrator.v1.OrchestratorService/RunTasks", True),
        (b"/some.Service/Method", False),
        (b"/run-task", False),
    ],
)
def test_which_requests_are_streams(target: bytes, expected: bool) -> None:
    assert Methods.load().takes_stream(target) is expected
