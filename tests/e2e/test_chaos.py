"""A short storm: processes are killed, paused and cut off; nothing is lost and nothing comes twice."""

import sys
from pathlib import Path

import pytest

from tests.bench.chaos.run import Plan, run


@pytest.mark.parametrize("seed", [1])
async def test_every_promise_of_the_engine_holds(seed: int, tmp_path: Path) -> None:
    report = await run(Plan(tasks=36, seconds=10, seed=seed, interval_seconds=0.5), tmp_path)
    sys.stdout.write("\n".join(report.lines()))
    violations = report.all_violations
    assert not violations, f"seed {seed}"
