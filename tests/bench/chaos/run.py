"""One run: load under faults, healing, load in calm, judgement."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.bench.chaos.aftermath import defects, fenced, grown, leftovers, repeated, resident
from tests.bench.chaos.crowd import Crowd, gathered
from tests.bench.chaos.deployment import Deployment, deployed
from tests.bench.chaos.duplicates import Duplicates
from tests.bench.chaos.faults import Faults, schedule
from tests.bench.chaos.graphs import Job, calm_job, random_job
from tests.bench.chaos.report import Report
from tests.bench.chaos.takeover import MOST_SECONDS, takeovers
from tests.bench.chaos.verdict import judge, stuck

_CALM_SHARE: Final = 0.2
_REST_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Plan:
    """How large a run is."""

    tasks: int
    seconds: float
    seed: int
    interval_seconds: float = 0.8
    workers: int = 3
    cluster: bool = False
    end_within_seconds: float = 60.0
    """How long after the last fault the tasks may take to end."""


async def run(plan: Plan, folder: Path) -> Report:
    """Runs it on processes whose logs go to a folder."""
    report = Report(seed=plan.seed)
    with report.phase("all"):
        await _run(plan, folder, report)
    report.fenced = fenced(folder)
    if twice := repeated(folder):
        report.complain(f"{len(twice)} attempts were executed more than once, such as {'; '.join(twice[:5])}")
    report.violations += [f"defect: {defect}" for defect in defects(folder)]
    return report


async def _run(plan: Plan, folder: Path, report: Report) -> None:
    async with deployed(folder, workers=plan.workers, cluster=plan.cluster) as deployment:
        report.skewed_worker = deployment.skewed_worker
        async with gathered(deployment, report.complain) as crowd:
            with report.phase("storm"):
                await _storm(plan, deployment, crowd, report)
                deployment.revive(report.complain)
                await deployment.ready()
            with report.phase("calm"):
                calm = await _calm(plan, deployment, crowd, report)
            deployment.revive(report.complain)
            if not report.unfinished:
                with report.phase("takeover"):
                    report.killed, report.stopped = await takeovers(deployment, crowd.stubs[0])
                if report.killed[-1] > MOST_SECONDS:
                    report.complain(f"a step went on {report.killed[-1]:.2f} s after its worker was killed")
            with report.phase("rest"):
                report.violations += await leftovers(deployment, within_seconds=_REST_SECONDS)
            with report.phase("judgement"):
                if not report.unfinished:
                    report.verdict = await judge(crowd, calm, healed=report.healed)
            report.crowd = crowd.counts
            report.streams = sum(view.streams for view in crowd.views)
            report.watchers = len(crowd.views)


async def _storm(plan: Plan, deployment: Deployment, crowd: Crowd, report: Report) -> None:
    """Most tasks, while everything breaks."""
    rng = Random(plan.seed)
    jobs = [random_job(rng, number) for number in range(round(plan.tasks * (1 - _CALM_SHARE)))]
    faults = Faults(deployment, report.complain)
    planned = schedule(rng, seconds=plan.seconds, interval_seconds=plan.interval_seconds)
    duplicates = Duplicates(deployment, crowd.first_views, Random(plan.seed), report.complain)
    injecting = asyncio.create_task(duplicates.run())
    load = asyncio.create_task(_load(crowd, jobs, seconds=0.9 * plan.seconds, rng=rng))
    try:
        await faults.run(planned)
        report.healed = time.time()
        with report.phase("last end after the last fault"):
            await _end_of(load, crowd, plan, report)
    finally:
        injecting.cancel()
        load.cancel()
        await asyncio.gather(injecting, load, return_exceptions=True)
    report.faults, report.duplicates = faults.counts, duplicates.counts


async def _calm(plan: Plan, deployment: Deployment, crowd: Crowd, report: Report) -> list[str]:
    """The other tasks, on the healed deployment; they must complete, and memory must not grow."""
    rng = Random(plan.seed + 1)
    share = max(1, round(plan.tasks * _CALM_SHARE / 2))
    jobs = [calm_job(rng, plan.tasks + number) for number in range(2 * share)]
    known = set(crowd.accepted)
    for wave in (jobs[:share], jobs[share:]):
        report.memory.append(resident(deployment))
        load = asyncio.create_task(_load(crowd, wave, seconds=1, rng=rng))
        await _end_of(load, crowd, plan, report)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    report.memory.append(resident(deployment))
    report.violations += [f"memory: {line}" for line in grown(*report.memory[1:])]
    return [task_id for task_id in crowd.accepted if task_id not in known]


async def _load(crowd: Crowd, jobs: Sequence[Job], *, seconds: float, rng: Random) -> None:
    """The jobs, a third of them at once and the others spread over a time."""
    async with asyncio.TaskGroup() as group:
        for place, job in enumerate(jobs):
            group.create_task(crowd.attend(job, Random(rng.random())))
            if place > len(jobs) // 3:
                await asyncio.sleep(1.5 * seconds / len(jobs))


async def _end_of(load: "asyncio.Task[None]", crowd: Crowd, plan: Plan, report: Report) -> None:
    """Waits until every task has ended and every watcher has seen it."""
    _, unfinished = await asyncio.wait([load], timeout=plan.end_within_seconds)
    if unfinished:
        report.unfinished = True
        report.complain(f"not every task ended within {plan.end_within_seconds} s after the last fault")
        report.violations += await stuck(crowd)
    else:
        load.result()
