"""The tables."""

import math
from collections.abc import Mapping
from typing import Final

from tests.bench.scale.costs import Cost
from tests.bench.scale.growth import Size
from tests.bench.scale.plans import LARGE, SMALL, Comparison
from tests.bench.scale.processes import ORCHESTRATOR, REDIS, WORKER

SIZE_HEAD: Final = (
    f"{'':>8}{'':>9}{'CPU µs a task':^39}{'bytes':>8}{'p50 / p99 ms':^58}{'none':>9}{'resident':>10}\n"
    f"{'tasks':>8}{'tasks/s':>9}{'orchestr.':>11}{'worker':>8}{'redis':>7}{'all':>6}{'ratio':>7}{'a task':>8}"
    f"{'ListTasks':>15}{'… middle':>14}{'GetTask':>14}{'SubmitTask':>15}{'failed':>9}{'MiB':>10}"
)
PLAN_HEAD: Final = (
    f"{'':<24}{f'{SMALL} steps, µs a step':^40}{f'{LARGE} steps, µs a step':^40}{'ratio':^14}\n{'':<24}"
    + 2 * f"{'wall':>8}{'orchestr.':>11}{'worker':>8}{'redis':>7}{'CPU':>6}"
    + f"{'wall':>8}{'CPU':>6}"
)


def size_row(size: Size) -> str:
    """One line under `SIZE_HEAD`."""
    calls = "".join(f"{f'{call.p50:.1f} / {call.p99:.1f}':>14}" for call in size.calls.values())
    return (
        f"{size.tasks:>8}{1e6 / size.cost.wall_us:>9.0f}  {_cpu(size.cost.cpu_us)}{size.cost.total_cpu_us:>6.0f}"
        f"{_ratio(size.ratio):>7}{size.memory:>8.0f}{calls}{size.failed_page_ms:>9.1f}{size.orchestrator_mib:>10.0f}"
    )


def makeup_rows(size: Size) -> str:
    """What a task takes in Redis."""
    parts = [f"  {name:<32}{each:>8.0f}" for name, each in size.makeup.items()]
    live = f"  beside them the live streams, which are bounded: {size.live_bytes / 2**20:.1f} MiB"
    return "\n".join([f"\n  bytes of a task at {size.tasks} tasks", *parts, live])


def drain_row(cost: Cost) -> str:
    """What it takes to work off what waited."""
    each = ", ".join(f"{role} {value:.0f}" for role, value in cost.cpu_us.items())
    return f"\n  worked off at {1e6 / cost.wall_us:.0f} tasks/s; CPU µs a task: {each}"


def plan_row(comparison: Comparison) -> str:
    """One line under `PLAN_HEAD`."""
    small, large = comparison.small, comparison.large
    name = f"{comparison.shape}, {'all at once' if comparison.at_once else 'one at a time'}"
    wall, cpu = large.wall_us / small.wall_us, large.total_cpu_us / small.total_cpu_us
    return f"{name:<24}{_step(small)}{_step(large)}{wall:>8.2f}{cpu:>6.2f}"


def _step(cost: Cost) -> str:
    return f"{cost.wall_us:>8.0f}  {_cpu(cost.cpu_us)}{cost.total_cpu_us:>6.0f}"


def _cpu(cpu_us: Mapping[str, float]) -> str:
    return f"{cpu_us[ORCHESTRATOR]:>9.0f}{cpu_us.get(WORKER, 0):>8.0f}{cpu_us[REDIS]:>7.0f}"


def _ratio(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.2f}"
