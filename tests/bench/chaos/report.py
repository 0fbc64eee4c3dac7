"""What a run found."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.chaos.verdict import Verdict


@dataclass
class Report:
    """Counts and violations."""

    seed: int
    healed: float = 0
    """When the last fault was over, in seconds since the epoch."""
    skewed_worker: str | None = None
    unfinished: bool = False
    watchers: int = 0
    streams: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    fenced: Counter[str] = field(default_factory=Counter)
    crowd: Counter[str] = field(default_factory=Counter)
    killed: Sequence[float] = ()
    """Seconds from the kill of a worker to the next start of each of its steps; `stopped` is the same of SIGTERM."""
    stopped: Sequence[float] = ()
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of each."""
    memory: list[Mapping[str, int]] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    violations: list[str] = field(default_factory=list)

    def complain(self, problem: str) -> None:
        """Notes a violation."""
        self.violations.append(problem)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Takes the time of the block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = time.monotonic() - began

    @property
    def all_violations(self) -> list[str]:
        """Every violation."""
        return [*self.violations, *self.verdict.violations]

    def lines(self) -> Iterator[str]:
        """The table and the violations."""
        verdict = self.verdict
        yield _row("seed", self.seed)
        yield _row("tasks", sum(verdict.ends.values()), verdict.ends)
        yield from (_row("", "", {name: count}) for name, count in verdict.failures.most_common())
        yield _row("steps", verdict.steps, {"completed": verdict.completed_steps})
        yield _row("attempts", verdict.attempts)
        yield _row("events", verdict.events)
        yield _row("watchers", self.watchers, {"streams": self.streams})
        yield _row("client calls", "", self.crowd)
        yield _row("faults", sum(self.faults.values()), dict(sorted(self.faults.items())))
        yield _row("clock skew", f"+1 h on {self.skewed_worker}" if self.skewed_worker else "skipped: no libfaketime")
        yield _row("duplicates injected", sum(self.duplicates.values()), self.duplicates)
        yield _row("duplicates fenced", sum(self.fenced.values()), self.fenced)
        for span in sorted(verdict.spans)[-3:]:
            longest = f"silent for {span.silent_seconds:.1f} s at most, {span.silence}; {span.task_id}"
            yield f"{'ended late':<24}{span.ended - self.healed:>8.1f}  s after the last fault; {longest}"
        yield _row("results lost", verdict.results_lost)
        yield _row("gaps", verdict.gaps)
        yield from _takeover("takeover after kill", self.killed)
        yield from _takeover("takeover after SIGTERM", self.stopped)
        yield from self._memory()
        yield _row("seconds", "", self.phases)
        yield _row("violations", len(self.all_violations))
        yield from self.all_violations

    def _memory(self) -> Iterator[str]:
        if len(self.memory) == 3:
            healed, warm, end = self.memory
            for name in end:
                sizes = " → ".join(f"{size[name] / 2**20:.1f}" for size in (healed, warm, end))
                yield _row(f"MiB of {name}", sizes)


def _takeover(name: str, seconds: Sequence[float]) -> Iterator[str]:
    if seconds:
        yield f"{name:<24}{len(seconds):>8}  steps, {seconds[0]:.2f} to {seconds[-1]:.2f} s"


def _row(name: str, value: object, parts: Mapping[str, float] | None = None) -> str:
    counts = ", ".join(f"{part} {_number(count)}" for part, count in (parts or {}).items())
    return f"{name:<24}{value!s:>8}  {counts}".rstrip()


def _number(count: float) -> str:
    return str(count) if isinstance(count, int) else f"{count:.1f} s"
