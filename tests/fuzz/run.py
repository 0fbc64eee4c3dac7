"""A run: batches of every target in turn, over several processes."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.engine import Batch, Failure, run_batch, watchdog
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_BATCH_INPUTS: Final = 10_000
_BATCH_SECONDS: Final = 120
_MAX_GROWTH_BYTES: Final = 128 << 20
"""What a process may grow by once it has seen every target: the caches of heads and blocks fill up slowly."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do."""

    targets: Sequence[Target]
    seed: int
    inputs: int
    jobs: int
    seconds: float | None


@dataclass(slots=True)
class Row:
    """What a target came to."""

    inputs: int = 0
    cpu_seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest_bytes: int = 0

    def add(self, batch: Batch) -> None:
        """Counts a batch."""
        self.inputs += batch.inputs
        self.cpu_seconds += batch.cpu_seconds
        if batch.slowest_seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest_bytes = batch.slowest_seconds, batch.slowest_bytes


@dataclass(slots=True)
class Report:
    """What a run came to."""

    rows: dict[str, Row]
    elapsed_seconds: float = 0.0
    first_rss_bytes: dict[int, int] = field(default_factory=dict)
    peak_rss_bytes: dict[int, int] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def growth_bytes(self) -> int:
        """By how much the process that grew most has grown."""
        grown = [peak - self.first_rss_bytes.get(pid, peak) for pid, peak in self.peak_rss_bytes.items()]
        return max(grown, default=0)

    @property
    def problems(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.failures) or self.growth_bytes > _MAX_GROWTH_BYTES

    def lines(self) -> list[str]:
        """What is printed."""
        head = f"{'target':24} {'inputs':>12} {'per CPU s':>10} {'slowest':>10} {'of bytes':>10}"
        rows = [_line(name, row) for name, row in self.rows.items()]
        total = sum(row.inputs for row in self.rows.values())
        busy = sum(row.cpu_seconds for row in self.rows.values())
        peak = max(self.peak_rss_bytes.values(), default=0)
        return [
            head,
            *rows,
            f"{total:,} inputs in {self.elapsed_seconds:.0f} s: "
            f"{total / max(self.elapsed_seconds, 1e-9):,.0f} a second, "
            f"{total / max(busy, 1e-9):,.0f} a second of CPU time",
            f"memory of a process: {peak >> 20} MiB at most; it grew by {self.growth_bytes / (1 << 20):.1f} MiB "
            f"since every target had its first batch (allowed: {_MAX_GROWTH_BYTES >> 20})",
            *[line for failure in self.failures.values() for line in failure.lines()],
            "FAILED" if self.problems else "no promise was broken",
        ]


def run(plan: Plan) -> Report:
    """Runs until all inputs are fed, or the time is over; a target that fails is left out from there on."""
    report = Report({target.name: Row() for target in plan.targets})
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    warm = len(plan.targets)
    seen: dict[int, int] = {}
    room = threading.Semaphore(2 * plan.jobs)  # the pool would take all orders at once, long before their time
    with ExitStack() as stack:
        pool = stack.enter_context(context.Pool(plan.jobs))
        for pid, batch in pool.imap_unordered(_work, _batches(plan, report, began, room)):
            room.release()
            report.rows[batch.target].add(batch)
            seen[pid] = seen.get(pid, 0) + 1
            if seen[pid] == warm:
                report.first_rss_bytes[pid] = batch.rss_bytes
            report.peak_rss_bytes[pid] = max(report.peak_rss_bytes.get(pid, 0), batch.rss_bytes)
            if batch.failure is not None:
                report.failures.setdefault(batch.target, batch.failure)
    report.elapsed_seconds = time.monotonic() - began
    return report


_Order = tuple[str, str, int]


def _batches(plan: Plan, report: Report, began: float, room: threading.Semaphore) -> Iterator[_Order]:
    left, number = plan.inputs, 0
    while left > 0:
        for target in plan.targets:
            room.acquire()
            if plan.seconds is not None and time.monotonic() - began > plan.seconds:
                return
            if target.name not in report.failures and left > 0:
                count = min(_BATCH_INPUTS, left)
                left -= count
                yield target.name, f"{plan.seed}/{target.name}/{number}", count
            else:
                room.release()
        if len(report.failures) == len(plan.targets):
            return
        number += 1


def _work(order: _Order) -> tuple[int, Batch]:
    name, seed, count = order
    target = next(target for target in TARGETS if target.name == name)
    with watchdog(_BATCH_SECONDS):
        return os.getpid(), run_batch(target, seed, count)


def _line(name: str, row: Row) -> str:
    rate = row.inputs / max(row.cpu_seconds, 1e-9)
    return f"{name:24} {row.inputs:12,} {rate:10,.0f} {row.slowest_seconds * 1000:7.2f} ms {row.slowest_bytes:10,}"
