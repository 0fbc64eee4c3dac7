"""A short run of the fuzzer; `python -m tests.fuzz` is the long one."""

import pytest

from tests.fuzz.engine import run_batch
from tests.fuzz.target import Target, hold
from tests.fuzz.targets import TARGETS

_INPUTS = 100_000


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_promises_of_the_wire(target: Target) -> None:
    batch = run_batch(target, f"suite/{target.name}", _INPUTS // len(TARGETS))
    assert batch.failure is None, "\n".join(batch.failure.lines())


def test_what_fails_is_found_and_made_small() -> None:
    def check(data: bytes, at: int) -> None:
        hold(b"\xff\x00" not in data, f"found (cut at {at})")

    target = Target("broken", "has no such bytes", lambda random: [random.randbytes(60)], (b"\xff\x00",), check)
    failure = run_batch(target, "1", 10_000).failure
    assert failure is not None
    assert failure.data == b"\xff\x00"
    assert failure.lines()[-1].endswith(" ff00")


def test_what_takes_more_than_linear_time_is_found() -> None:
    def check(data: bytes, _at: int) -> None:
        for _ in data:
            sum(data)

    failure = run_batch(Target("slow", "", lambda _: [bytes(5000)], (), check), "2", 100).failure
    assert failure is not None
    assert "ms" in failure.report
