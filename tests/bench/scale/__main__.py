"""Cost per task as tasks grow in number, and cost per step as plans grow in size.

    python -m tests.bench.scale [--sizes 1000,3000,10000,30000,100000] [--queued 10000] [--only NAME] [--plot FILE.svg]

Real Redis, orchestrator and worker; the agent does nothing, in the worker's process. Tasks are chains of three steps,
submitted over one stream, and are kept when they have finished. CPU is that of all threads of a process. `ratio` is the
CPU of a task over that of the same task, at the same time, on a second deployment that keeps few.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.bench.scale import report
from tests.bench.scale.chart import draw
from tests.bench.scale.growth import Size, finished, queued
from tests.bench.scale.plans import compared
from troupe.core.logs import LogSettings, configure


async def _growth(folder: Path, counts: Sequence[int]) -> Sequence[Size]:
    sizes: list[Size] = []
    async for size in finished(folder / "finished", counts):
        sizes.append(size)
        print(report.size_row(size), flush=True)
    print(report.makeup_rows(sizes[-1]))
    return sizes


async def _queue(folder: Path, count: int) -> None:
    size, working = await queued(folder / "queued", count)
    print(report.size_row(size))
    print(report.makeup_rows(size))
    print(report.drain_row(working), flush=True)


async def _plans(folder: Path) -> None:
    print(report.PLAN_HEAD)
    async for comparison in compared(folder / "plans"):
        print(report.plan_row(comparison), flush=True)


async def _measure(arguments: argparse.Namespace) -> None:
    only = arguments.only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if only in {None, "finished"}:
            print(f"\nfinished tasks\n{report.SIZE_HEAD}")
            sizes = await _growth(folder, [int(size) for size in arguments.sizes.split(",")])
            if arguments.plot is not None:
                arguments.plot.parent.mkdir(parents=True, exist_ok=True)
                arguments.plot.write_text(draw(sizes))
        if only in {None, "queued"}:
            print(f"\nqueued tasks, no worker\n{report.SIZE_HEAD}")
            await _queue(folder, arguments.queued)
        if only in {None, "plans"}:
            print("\nplans")
            await _plans(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,3000,10000,30000,100000", help="numbers of finished tasks")
    parser.add_argument("--queued", type=int, default=10_000, help="number of queued tasks")
    parser.add_argument("--only", choices=["finished", "queued", "plans"])
    parser.add_argument("--plot", type=Path, help="an SVG of the finished tasks' figures")
    configure("bench", LogSettings(level="error"))
    uvloop.run(_measure(parser.parse_args()))
