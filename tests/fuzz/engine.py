"""Feeds a target, measures it, and makes what fails small."""

import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from tests.fuzz.mutation import Mutator
from tests.fuzz.target import BrokenPromiseError, Target

# Generous enough for a machine that is busy with other things, far below what quadratic time costs at 64 KiB.
_MAX_SECONDS: Final = 0.01
_MAX_SECONDS_PER_BYTE: Final = 2e-6
_MAX_REDUCTIONS: Final = 4000


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that broke a promise, made small."""

    target: str
    seed: str
    data: bytes
    cut_at: int
    report: str

    def lines(self) -> list[str]:
        """What is printed about it."""
        return [
            f"{self.target}: a promise is broken (seed {self.seed})",
            self.report.rstrip(),
            f"to see it again: python -m tests.fuzz --reproduce {self.target} {self.cut_at} {self.data.hex() or '-'}",
        ]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a number of inputs came to."""

    target: str
    inputs: int
    cpu_seconds: float
    slowest_seconds: float
    slowest_bytes: int
    rss_bytes: int
    failure: Failure | None


class SlowError(BrokenPromiseError):
    """An input takes more time than its length explains."""


class HangError(BaseException):
    """An input does not end. No `Exception`, so that what is fuzzed cannot swallow it."""


def run_batch(target: Target, seed: str, count: int) -> Batch:
    """Feeds so many inputs; stops at the first failure. The same seed gives the same inputs."""
    random = Random(seed)
    mutator = Mutator(target.seeds(random), target.tokens, random)
    check, clock = target.check, time.perf_counter
    slowest_seconds, slowest_bytes, done = 0.0, 0, 0
    failure: Failure | None = None
    began = time.thread_time()
    for data, cut_at in mutator.inputs(count):
        started = clock()
        try:
            check(data, cut_at)
            elapsed = clock() - started
            if elapsed > slowest_seconds:
                elapsed = _cpu_seconds(target, data, cut_at)
                if elapsed > slowest_seconds:
                    slowest_seconds, slowest_bytes = elapsed, len(data)
                _check_time(elapsed, data)
        except (Exception, HangError) as error:
            failure = reduced(target, seed, data, cut_at, error)
            break
        done += 1
    cpu_seconds = time.thread_time() - began
    return Batch(target.name, done, cpu_seconds, slowest_seconds, slowest_bytes, rss_bytes(), failure)


def reduced(target: Target, seed: str, data: bytes, cut_at: int, error: BaseException) -> Failure:
    """Takes parts of the input away as long as it still fails in the same way; not where each attempt takes long."""
    kind, budget = type(error), _MAX_REDUCTIONS
    size = max(1, len(data) // 2) if not isinstance(error, SlowError | HangError) else 0
    while size:
        at = 0
        while at < len(data) and budget:
            budget -= 1
            shorter = data[:at] + data[at + size :]
            place = min(cut_at if cut_at <= at else max(at, cut_at - size), len(shorter))
            again = _failure(target, shorter, place)
            if type(again) is kind:
                data, cut_at, error = shorter, place, again or error
            else:
                at += size
        size //= 2
    report = "".join(traceback.format_exception(error, chain=False)[-6:])
    return Failure(target.name, seed, data, cut_at, report)


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Raises `HangError` in what runs too long; only in the main thread of a process."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise HangError(f"no end after {seconds} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def rss_bytes() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _failure(target: Target, data: bytes, cut_at: int) -> BaseException | None:
    try:
        target.check(data, cut_at)
    except Exception as error:
        return error
    return None


def _check_time(seconds: float, data: bytes) -> None:
    if seconds > _MAX_SECONDS + len(data) * _MAX_SECONDS_PER_BYTE:
        raise SlowError(f"{len(data)} bytes took {seconds * 1000:.0f} ms")


def _cpu_seconds(target: Target, data: bytes, cut_at: int) -> float:
    """What the input costs, without what other processes take away."""
    return min(_timed(lambda: target.check(data, cut_at)) for _ in range(2))


def _timed(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
