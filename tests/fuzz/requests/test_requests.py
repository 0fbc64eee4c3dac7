"""A short run; `python -m tests.fuzz.requests` is the long one."""

from pathlib import Path

import pytest

from tests.fuzz.requests.deployment import deployed
from tests.fuzz.requests.doors import Outcome
from tests.fuzz.requests.run import Report, Run, is_defect

_REQUESTS = 2_000


@pytest.mark.timeout(600)
async def test_no_request_finds_a_defect(tmp_path: Path) -> None:
    async with deployed(tmp_path) as deployment:
        run = Run(deployment, "suite")
        await run.prepare()
        await run.all(_REQUESTS)
    lines = "\n".join(run.report.lines())
    assert not run.report.failed, lines
    doors = {door for door, _ in run.report.outcomes}
    assert len(doors) == 10, lines
    assert all(run.report.outcomes[door, "OK"] for door in doors), lines  # else nothing but the outer walls was reached


def test_what_is_a_defect_is_told() -> None:
    path = "/troupe.api.memory.v1.MemoryService/Search"
    for outcome in (
        Outcome("INTERNAL", "INTERNAL", "internal error"),
        Outcome("UNKNOWN", "", "Unexpected DecodeError"),
        Outcome("HANG"),
        Outcome("INVALID_ARGUMENT", "", "no details"),
        Outcome("INVALID_ARGUMENT", "INVALID_REQUEST", "Traceback (most recent call last)"),
        Outcome("UNAVAILABLE", "STORE_UNAVAILABLE", "Redis refuses a number"),
    ):
        assert is_defect(outcome, path, "orchestrator")
    assert not is_defect(Outcome("INVALID_ARGUMENT", "INVALID_REQUEST", "`query` is '\\x00b'"), path, "orchestrator")
    assert not is_defect(Outcome("OK"), path, "orchestrator")
    assert Report(warm_rss_bytes={"agents": 1 << 20}, rss_bytes={"agents": 1 << 28}).failed
    assert Report(defects=["agents ended with 1"]).failed
